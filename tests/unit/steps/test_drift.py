"""When a step gets a reason to run again, and when it keeps the one it had."""

import re

import pytest

from components.steps.drift import GONE, OFF, Drift, differences, rollbacks
from components.steps.last_update import LastUpdate
from components.steps.remote import script_text


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi.log.warn", lambda *_: None)


def ran_with(reason: str) -> LastUpdate:
    return LastUpdate({"php1-php": {"stdin": script_text("php1-php", "php/php.sh", {"REASON": reason})}})


def test_nothing_found_gives_no_reason() -> None:
    assert Drift(LastUpdate()).reason("php1-php", "php1") == ""


def test_a_difference_is_a_reason_with_its_time() -> None:
    drift = Drift(ran_with("older"), reasons={"php1-php": "starts nginx"})
    assert re.fullmatch(r"starts nginx \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)", drift.reason("php1-php", "php1"))
    # Asked twice, it is the same: the engine would take another one for another change.
    assert drift.reason("php1-php", "php1") == drift.reason("php1-php", "php1")


def test_a_reason_stays_until_there_is_another() -> None:
    assert Drift(ran_with("older")).reason("php1-php", "php1") == "older"


def test_a_step_runs_again_with_another() -> None:
    drift = Drift(LastUpdate(), {"lb2": OFF}, reasons={"volume-start": "waits until all bricks are reached"})
    drift.reason("volume-start", "lb1")
    assert drift.reason("volume-heal", "lb1", "volume-start").startswith("volume-start does (")
    # That one's own reasons come first.
    assert drift.reason("lb2-brick", "lb2", "volume-start").startswith("lb2 is off (")
    assert drift.reason("php1-arbiter-agrees", "php1", "volume-heal").startswith("volume-heal does (")
    assert drift.reason("volume-info", "lb1", "volume-options") == ""


def test_an_older_reason_makes_no_other_step_run_again() -> None:
    drift = Drift(ran_with("older"))
    assert drift.reason("php1-php", "php1") == "older"
    assert drift.reason("php1-site", "php1", "php1-php") == ""


def test_states_of_machines() -> None:
    drift = Drift(LastUpdate(), {"lb1": OFF, "php1": GONE})
    assert drift.off_reason("lb1-machine", "lb1").startswith("lb1 is off (")
    assert drift.gone_reason("lb1-machine", "lb1") == ""
    # Its steps look after what they made; those of another machine are new anyway.
    assert drift.reason("lb1-haproxy", "lb1").startswith("lb1 is off (")
    assert drift.reason("php1-php", "php1") == ""
    assert drift.off_reason("php1-machine", "php1") == ""
    assert drift.gone_reason("php1-machine", "php1").startswith("php1 is gone (")


def test_reasons_are_found_again_in_the_state() -> None:
    when = "(2026-11-25T15:55:57Z)"
    step = script_text("php1-php", "php/php.sh", {"NGINX_SITE": "a\nREASON=none\n", "REASON": f'it\'s "off" {when}'})
    last = LastUpdate(
        {
            "php1-php": {"stdin": step, "triggers": ["id"]},
            "php1-machine": {"environment": {"REASON": f"off {when}"}, "triggers": ["a", "b", f"gone {when}"]},
            "php1-site-archive": {"triggers": ["id", f"unpacks {when}"]},
            "network": {"environment": {}, "triggers": None},
        }
    )
    drift = Drift(last)
    assert drift.reason("php1-php", "php1") == f'it\'s "off" {when}'
    assert drift.off_reason("php1-machine", "php1") == f"off {when}"
    assert drift.gone_reason("php1-machine", "php1") == f"gone {when}"
    assert drift.supply_reason("php1-site-archive", "php1-site-staged") == f"unpacks {when}"
    assert drift.gone_reason("network", "php1") == ""


def test_a_rollback_is_no_difference() -> None:
    said = '{"rolled_back_from": "bb", "to": "aa"}\n{"step": "php1-php", "reason": "starts nginx"}\n'
    assert rollbacks(said) == {"bb": "aa"}
    assert differences(said) == {"php1-php": "starts nginx"}
