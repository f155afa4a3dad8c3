"""When a step gets a reason to run again, and when it keeps the one it had."""

import re
from types import SimpleNamespace

import pulumi
import pytest

from components.steps.drift import GONE, OFF, Drift, differences, look, reasons_in, rollbacks
from components.steps.remote import script_text


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi.log.warn", lambda *_: None)


def test_nothing_found_gives_no_reason() -> None:
    assert Drift({}, {}, {}).reason("php1-php", "php1") == ""


def test_a_difference_is_a_reason_with_its_time() -> None:
    drift = Drift({}, {"php1-php": "starts nginx"}, {"php1-php": "older", "php2-php": "older"})
    assert re.fullmatch(r"starts nginx \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)", drift.reason("php1-php", "php1"))
    # Asked twice, it is the same: the engine would take another one for another change.
    assert drift.reason("php1-php", "php1") == drift.reason("php1-php", "php1")


def test_a_reason_stays_until_there_is_another() -> None:
    assert Drift({}, {}, {"php1-php": "older"}).reason("php1-php", "php1") == "older"


def test_states_of_machines() -> None:
    drift = Drift({"lb1": OFF, "php1": GONE}, {}, {})
    assert drift.off_reason("lb1-machine", "lb1").startswith("lb1 is off (")
    assert drift.gone_reason("lb1-machine", "lb1") == ""
    # Its steps look after what they made; those of another machine are new anyway.
    assert drift.reason("lb1-haproxy", "lb1").startswith("lb1 is off (")
    assert drift.reason("php1-php", "php1") == ""
    assert drift.off_reason("php1-machine", "php1") == ""
    assert drift.gone_reason("php1-machine", "php1").startswith("php1 is gone (")


def test_reasons_are_found_again_in_the_state() -> None:
    when = "(2026-11-25T15:55:57Z)"
    step = script_text("php1-php", "php/php.sh", {"NGINX_SITE": "REASONABLE=1", "REASON": f'it\'s "off" {when}'})
    found = reasons_in(
        {
            "php1-php": {"stdin": step, "triggers": ["id"]},
            "php1-machine": {"environment": {"REASON": f"off {when}"}, "triggers": ["a", "b", f"gone {when}"]},
            "php1-site-archive": {"triggers": ["id", f"unpacks {when}"]},
            "network": {"environment": {}, "triggers": None},
        }
    )
    drift = Drift({}, {}, found)
    assert drift.reason("php1-php", "php1") == f'it\'s "off" {when}'
    assert drift.off_reason("php1-machine", "php1") == f"off {when}"
    assert drift.gone_reason("php1-machine", "php1") == f"gone {when}"
    assert drift.supply_reason("php1-site-archive", "php1-site-staged") == f"unpacks {when}"
    assert drift.gone_reason("network", "php1") == ""


@pytest.mark.parametrize(
    ("said", "pauses", "problem"),
    [
        (["failed to load checkpoint: EOF"] * 2, 2, None),
        (["failed to load checkpoint: EOF"] * 99, 6, "checkpoint"),
        (["unknown stack"], 0, "unknown stack"),
    ],
)
def test_a_state_that_is_just_being_written_is_read_again(
    monkeypatch: pytest.MonkeyPatch, said: list[str], pauses: int, problem: str | None
) -> None:
    paused: list[float] = []

    def invoke(*_: object) -> SimpleNamespace:
        if said:
            raise RuntimeError(said.pop(0))
        return SimpleNamespace(value={"outputs": {}})

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    monkeypatch.setattr("components.steps.drift.time.sleep", paused.append)
    monkeypatch.setattr(pulumi, "get_organization", lambda: "organization")
    monkeypatch.setattr(pulumi, "get_project", lambda: "php-cluster")
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    if problem is None:
        assert look(lambda _: {}).known == {}
    else:
        with pytest.raises(RuntimeError, match=problem):
            look(lambda _: {})
    assert len(paused) == pauses


def test_a_rollback_is_no_difference() -> None:
    said = '{"rolled_back_from": "bb", "to": "aa"}\n{"step": "php1-php", "reason": "starts nginx"}\n'
    assert rollbacks(said) == {"bb": "aa"}
    assert differences(said) == {"php1-php": "starts nginx"}
