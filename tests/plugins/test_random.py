"""random:index/randomPassword:RandomPassword, and what else there may be."""

import string
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_random as random
import pytest

from tests.plugins.engine import SECRET_MARK, UNKNOWN, Program, Stack, bare

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
PASSWORD = "random:index/randomPassword:RandomPassword"


def passwords(wanted: Mapping[str, Mapping[str, Any]]) -> Program:
    def program() -> None:
        for name, arguments in wanted.items():
            pulumi.export(name, random.RandomPassword(name, **arguments).result)

    return program


def test_what_is_in_a_password(stack: Stack) -> None:
    classes = {"lower": False, "upper": False, "numeric": False, "special": False}
    run = stack.up(
        passwords(
            {
                "all": {"length": 400},
                "digits": {"length": 400, **classes, "numeric": True},
                "letters": {"length": 400, "special": False, "numeric": False},
                "own": {"length": 400, **classes, "special": True, "override_special": "_%"},
                "least": {"length": 10, "min_lower": 1, "min_upper": 2, "min_numeric": 3, "min_special": 4},
                "one": {"length": 1},
            }
        )
    )
    assert all(value == SECRET_MARK for value in run.outputs.values())
    made = stack.revealed()
    letters = string.ascii_lowercase + string.ascii_uppercase
    # 400 draws from at most 83 characters miss a given one with a chance below 1 in 100.
    assert set(made["all"]) <= set(letters + string.digits + SPECIAL) and len(made["all"]) == 400
    for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, SPECIAL):
        assert set(made["all"]) & set(kind)
    assert set(made["digits"]) == set(string.digits)
    assert set(made["letters"]) <= set(letters) and set(made["own"]) == set("_%")
    counts = [
        sum(c in kind for c in made["least"])
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    ]
    assert counts == [1, 2, 3] and len(made["least"]) == 10
    assert len(made["one"]) == 1
    assert made["all"] not in stack.stored()


def test_record(stack: Stack) -> None:
    stack.up(passwords({"step": {"length": 24, "special": False, "keepers": {"for": "lb1"}}}))
    record = stack.resources()["step"]
    outputs = record["outputs"]
    assert record["id"] == "none"
    known = {name: value for name, value in outputs.items() if type(value) in (bool, int, float)}
    assert known == {
        "length": 24,
        "lower": True,
        "minLower": 0,
        "minNumeric": 0,
        "minSpecial": 0,
        "minUpper": 0,
        "number": True,
        "numeric": True,
        "special": False,
        "upper": True,
    }
    assert outputs["keepers"] == {"for": "lb1"}
    assert '"$2' in outputs["bcryptHash"]["plaintext"]
    assert set(record["additionalSecretOutputs"]) == {"bcryptHash", "result"}


def test_it_stays_until_something_changes(stack: Stack) -> None:
    usual = {"length": 12, "keepers": {"a": "1"}}
    changes: Mapping[str, Mapping[str, Any]] = {
        "kept": {},
        "keepers": {"keepers": {"a": "2"}},
        "no keepers": {"keepers": None},
        "special": {"special": False},
        "length": {"length": 13},
        "least": {"min_lower": 2},
    }
    before = passwords(dict.fromkeys(changes, usual))
    run = stack.preview(before)
    assert run.steps["kept"] == ["create"]
    assert run.after["kept"]["length"] == 12 and run.after["kept"]["upper"] is True

    stack.up(before)
    first = stack.revealed()
    assert stack.refresh().steps["kept"] == ["refresh"]
    assert stack.preview(before).steps["kept"] == ["same"]
    run = stack.up(passwords({name: {**usual, **change} for name, change in changes.items()}))
    assert run.changed["keepers"] == {"keepers"}
    for name in changes.keys() - {"kept"}:
        assert run.steps[name] == ["create-replacement", "replace", "delete-replaced"], name
    second = stack.revealed()
    assert {name for name in changes if first[name] == second[name]} == {"kept"}
    assert stack.destroy().steps["kept"] == ["delete"]


def test_a_state_that_the_official_plugin_wrote(stack: Stack) -> None:
    """It keeps more there than outputs, and so must read it whoever wrote it."""
    program = passwords({"step": {"length": 12}})
    stack.up(program)
    written = {
        "id": "none",
        "__meta": '{"schema_version":"3"}',
        "__pulumi_raw_state_delta": {"obj": {"ps": {"keepers": {"replace": {"raw": None}}}}},
    }
    exported = stack.stack.export_stack()
    [record] = [one for one in (exported.deployment or {})["resources"] if one["type"] == PASSWORD]
    record["outputs"].update(written)
    stack.stack.import_stack(exported)
    before = stack.revealed()
    assert stack.preview(program).steps["step"] == ["same"]
    assert stack.refresh().steps["step"] == ["refresh"]
    assert stack.resources()["step"]["outputs"]["__meta"] == written["__meta"]
    assert stack.up(program).steps["step"] == ["same"] and stack.revealed() == before
    assert stack.up(passwords({"step": {"length": 13}})).steps["step"][0] == "create-replacement"
    assert stack.resources()["step"]["outputs"]["__meta"] == written["__meta"]
    assert stack.destroy().steps["step"] == ["delete"]


def test_defaults_given_are_no_change(stack: Stack) -> None:
    stack.up(passwords({"step": {"length": 12}}))
    run = stack.preview(passwords({"step": {"length": 12, "special": True, "lower": True, "min_lower": 0}}))
    assert run.steps["step"] == ["same"]


def test_a_length_known_later(stack: Stack) -> None:
    def program() -> None:
        first = random.RandomPassword("first", length=3, special=False, upper=False, lower=False)
        second = random.RandomPassword("second", length=first.result.apply(lambda digits: 8 + int(digits) % 8))
        pulumi.export("second", second.result)

    run = stack.preview(program)
    assert run.steps["second"] == ["create"] and run.after["second"]["length"] in (UNKNOWN, SECRET_MARK)
    run = stack.up(program)
    assert run.outputs["second"] == SECRET_MARK and 8 <= len(stack.revealed()["second"]) <= 15


WRONG: Mapping[str, tuple[Mapping[str, object], str]] = {
    "no length": ({}, "length"),
    "zero": ({"length": 0}, "length"),
    "least": ({"length": 8, "minLower": 9}, "length"),
}


@pytest.mark.parametrize(("inputs", "word"), WRONG.values(), ids=WRONG.keys())
def test_wrong_inputs(stack: Stack, inputs: Mapping[str, object], word: str) -> None:
    assert word in stack.fails(bare(PASSWORD, inputs)).errors()
