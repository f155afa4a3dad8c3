"""The judge of tests/faults: an honest history passes, and each way to break the promise is seen."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.faults import checker, faults, report
from tests.faults.history import CONNECTION, NO_ANSWER, SERVED, Attempt, History
from tests.faults.trial import Trial


@st.composite
def honest(draw: st.DrawFn) -> History:
    """What clients meet of a store that loses nothing: of some answers only, that is.

    Several clients share a session; requests overlap, and take effect one after the other between begin and end.
    """
    history = History()
    for session in ("one", "two"):
        held: list[str] = []
        moment = 0.0
        for number in range(draw(st.integers(0, 8))):
            moment += draw(st.floats(0.01, 2))
            begin, end = moment - draw(st.floats(0.001, 1)), moment + draw(st.floats(0.001, 1))
            outcome = draw(st.sampled_from([SERVED, SERVED, NO_ANSWER, CONNECTION, "503"]))
            if outcome in (SERVED, NO_ANSWER) or draw(st.booleans()):
                held.append(f"{session}:{number}")
            count = len(held) if outcome == SERVED else 0
            history.attempts.append(
                Attempt(begin, end, f"client {number % 3}", session, f"{session}:{number}", begin, outcome, count)
            )
        history.held[session] = [held, list(held)]
    history.attempts.sort(key=lambda attempt: attempt.end)
    return history


def told(history: History) -> list[Attempt]:
    return [attempt for attempt in history.attempts if attempt.served]


@given(honest())
def test_an_honest_history_is_believed(history: History) -> None:
    verdict = checker.judge(history)
    assert verdict.violations == {} and verdict.repeated == ()
    assert verdict.acknowledged == len(told(history))


@given(honest(), st.data(), st.booleans())
def test_a_lost_update_is_seen(history: History, data: st.DataObject, everywhere: bool) -> None:
    assume(told(history))
    victim = data.draw(st.sampled_from(told(history)))
    readings = history.held[victim.session]
    for reading in readings if everywhere else readings[:1]:
        reading.remove(victim.update)
    verdict = checker.judge(history)
    assert verdict.lost == (victim.update,)
    assert verdict.disputed == (() if everywhere else (victim.session,))


@given(honest(), st.data())
def test_an_older_state_over_a_newer_one_is_seen(history: History, data: st.DataObject) -> None:
    """Even if in the end all is there: two nodes went on from the same state for a while."""
    pairs = [
        (one, other)
        for one in told(history)
        for other in told(history)
        if one.session == other.session and other.begin > one.end
    ]
    assume(pairs)
    before, after = data.draw(st.sampled_from(pairs))
    history.attempts[history.attempts.index(after)] = replace(after, count=before.count)
    assert after.update in checker.judge(history).outdated


@given(honest(), st.sampled_from(["never asked for", "two:0", "one:0"]), st.sampled_from(["one", "two"]))
def test_an_invented_update_is_seen(history: History, invented: str, session: str) -> None:
    """One that nobody sent, and one that belongs to another session."""
    assume(not invented.startswith(session))
    history.held[session][0].append(invented)
    assert checker.judge(history).invented == (invented,)


@given(honest(), st.data())
def test_an_update_made_twice_is_told_apart(history: History, data: st.DataObject) -> None:
    assume(told(history))
    victim = data.draw(st.sampled_from(told(history)))
    for reading in history.held[victim.session]:
        reading.append(victim.update)
    verdict = checker.judge(history)
    assert verdict.repeated == (victim.update,) and verdict.violations == {}


@given(honest(), st.sampled_from([{"count": 1}, {"replaced": True}]))
def test_a_session_that_began_anew_is_seen(history: History, change: dict[str, int | bool]) -> None:
    mine = [attempt for attempt in told(history) if attempt.session == "one"]
    assume(len(mine) > 1 and mine[-1].begin > mine[0].end)
    history.attempts[history.attempts.index(mine[-1])] = replace(mine[-1], **change)  # type: ignore[arg-type]
    assert checker.judge(history).reset == ("one",)


@given(honest())
def test_a_session_that_nobody_can_read_is_seen(history: History) -> None:
    assume(any(attempt.session == "two" for attempt in told(history)))
    history.held["two"] = []
    verdict = checker.judge(history)
    assert verdict.unread == ("two",) and verdict.lost == ()
    del history.held["two"]
    assert checker.judge(history).unread == ("two",)


@given(honest())
def test_a_history_survives_its_file(history: History) -> None:
    assert History.from_json(json.loads(json.dumps(history.to_json()))) == history


def asked(begin: float, end: float, outcome: str = SERVED, client: str = "a", since: float | None = None) -> Attempt:
    return Attempt(begin, end, client, "one", f"{client}{begin}", begin if since is None else since, outcome)


def test_times_are_counted_from_the_fault() -> None:
    history = History(
        [
            asked(0, 1),
            asked(4, 4.5, "503", client="early"),
            asked(9, 11, NO_ANSWER, client="b"),
            asked(10.5, 10.7, "503"),
            asked(11.1, 13.1, NO_ANSWER, client="b", since=9),
            asked(10.8, 13.5, since=10.5),
            asked(13.2, 14, client="b", since=9),
            asked(21, 21.2, CONNECTION, client="c"),
            asked(22, 22.5, client="c", since=21),
        ],
        fault=10,
        restore=20,
        restored=20.5,
    )
    phases = checker.phases(history)
    assert phases.before.errors == {"503": 1}
    assert phases.in_flight == {NO_ANSWER: 1}
    assert phases.during.errors == {"503": 1, NO_ANSWER: 1}
    assert phases.during.served_after == pytest.approx(1.1)
    assert phases.during.longest_wait == pytest.approx(5)
    # From 14 to the end of the span nobody asked, and nobody was answered: a stall as far as one can tell.
    assert phases.during.longest_stall == pytest.approx(6)
    assert phases.after.errors == {CONNECTION: 1}
    assert phases.after.served_after == pytest.approx(1)


def test_a_client_that_is_never_served_again_has_waited_until_the_end() -> None:
    history = History([asked(11, 13, NO_ANSWER), asked(13, 15, NO_ANSWER, since=11)], fault=10, restore=20)
    assert checker.phases(history).during.longest_wait == pytest.approx(4)


SERVED_AT_ONCE = [asked(8, 9), asked(11, 12), asked(31, 32)]


def trial(
    name: str = "one-way-to-php2", profile: str = "safe", attempts: list[Attempt] | None = None, **then: Any
) -> Trial:
    history = History(SERVED_AT_ONCE if attempts is None else attempts, fault=10, restore=30, restored=30)
    return Trial(name, profile, "seed", history, **{"healed": 1.0, **then})


def test_a_missed_target_is_told() -> None:
    late = [asked(at, at + 0.5, "503", client="late") for at in (14, 15)]
    late_again = [asked(at, at + 0.5, CONNECTION, client="late") for at in (34, 35)]
    assert report.row(trial()).misses == []
    assert report.row(trial(attempts=SERVED_AT_ONCE + late)).misses == ["requests fail until 5.0 s"]
    [said] = report.row(trial(attempts=SERVED_AT_ONCE + late_again)).misses
    assert said == "requests fail until 5.0 s after the restoration"
    assert report.row(trial(healed=31.0)).misses == ["not healed in time"]
    assert report.row(trial(repaired="volume-start")).misses == ["up had something to do afterwards"]
    assert report.row(trial(problems=["2 owners"])).misses == ["2 owners"]


def test_a_checker_that_sees_the_article_lose_nothing_is_not_believed() -> None:
    rows = [report.row(trial(name, profile="article")) for name in faults.ALL]
    assert not report.is_credible(rows)
    # Some faults alone need not cost anything.
    assert report.is_credible(rows[:3]) and report.is_credible([])


def test_every_fault_has_a_name_of_its_own_and_the_quick_ones_are_among_them() -> None:
    assert len(set(faults.ALL)) == len(faults.ALL)
    assert [fault.name for fault in faults.named(faults.QUICK)] == list(faults.QUICK)


def test_a_fault_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="there is no fault fire; there are: power-off-active, "):
        faults.named(["fire"])
