"""What is read of the state is what was written into it."""

from types import SimpleNamespace

import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.steps.last_update import LastUpdate
from components.steps.remote import script_text

LAST = LastUpdate(
    {
        "volume-create": {"stdin": script_text("volume-create", "gluster/volume-create.sh", {"LAYOUT": "replica 2"})},
        "lb1-install": {"connection": {"host": "198.18.7.11"}},
        "php1-install": {},
        "lb1-brick": {},
        "lb1-files-brick": {"triggers": None},
        "php1-machine": {"environment": {"ADDRESS": "198.18.7.21"}, "triggers": ["198.18.7.21"]},
        "owner": {"result": "0123"},
    }
)


@settings(max_examples=40)
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]*", fullmatch=True), st.text("ab\n='\"\\\\ $RN")))
def test_a_variable_is_read_as_it_was_written(variables: dict[str, str]) -> None:
    variables.pop("STEP", None)
    last = LastUpdate({"step": {"stdin": script_text("step", "php/php.sh", variables)}})
    assert {name: last.variable("step", name) for name in variables} == variables
    assert last.variable("step", "no variable") is None


def test_what_is_not_there() -> None:
    assert LAST.variable("volume-create", "LAYOUT") == "replica 2"
    assert LAST.variable("volume-create", "OPTIONS") is LAST.variable("lb1-brick", "LAYOUT") is None
    assert LAST.variable("no-step", "LAYOUT") is None
    assert LAST.triggers("lb1-files-brick") == LAST.triggers("no-step") == []
    assert LAST.environment("php1-machine") == {"ADDRESS": "198.18.7.21"} and LAST.environment("lb1-brick") == {}
    assert LAST.result("owner") == "0123" and LAST.result("no-value") == ""
    assert LAST.has("no-step", "owner") and not LAST.has("no-step") and not LAST.has()


def test_a_machine_has_a_step_of_just_that_name() -> None:
    assert LAST.machines_with("brick") == ["lb1"] and LAST.machines_with("install") == ["lb1", "php1"]
    assert LAST.connections == {"lb1": {"host": "198.18.7.11"}}


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
    monkeypatch.setattr("components.steps.last_update.time.sleep", paused.append)
    monkeypatch.setattr(pulumi, "get_organization", lambda: "organization")
    monkeypatch.setattr(pulumi, "get_project", lambda: "php-cluster")
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    if problem is None:
        assert LastUpdate.of_this_stack().names == []
    else:
        with pytest.raises(RuntimeError, match=problem):
            LastUpdate.of_this_stack()
    assert len(paused) == pauses
