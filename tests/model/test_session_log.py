"""With all rules nothing is lost; with one taken out, the hole that it closes is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.explorer import Exploration, explore
from tests.model.holes import HOLES, Hole, explored
from tests.model.session_log.model import Model
from tests.model.session_log.state import ALL, FAULTS, RULES, STALE, Bounds, State, Step

DECISION = Path("docs/decisions/16-session-log-model.md")


def _names(holes: tuple[Hole, ...]) -> list[str]:
    return [hole.name for hole in holes]


def _in_order(wanted: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    left = iter(steps)
    return all(any(want in step for step in left) for want in wanted)


def _nothing(found: Exploration) -> None:
    assert not found.found, f"\n{found.found}"
    assert found.complete


@pytest.mark.parametrize("hole", HOLES, ids=_names(HOLES))
def test_a_hole_is_found_without_its_rules(hole: Hole) -> None:
    result = hole.explored()
    assert result.found, f"nothing in {result.states} states"
    assert result.found.violation == hole.violation
    assert _in_order(hole.shows, (*hole.given, *result.found.schedule)), f"another schedule:\n{result.found}"
    assert hole.row(result) in DECISION.read_text()


ENOUGH = {f"{rule}, {hole.name}": (hole, rule) for hole in HOLES for rule in hole.enough}


@pytest.mark.parametrize("name", ENOUGH)
def test_one_of_its_rules_is_enough(name: str) -> None:
    hole, rule = ENOUGH[name]
    _nothing(hole.explored(ALL - set(hole.without) | {rule}))


def test_a_lock_on_one_brick_is_too_little_without_a_new_graph_too() -> None:
    hole = next(hole for hole in HOLES if hole.name.startswith("5: "))
    given = tuple(step for step in hole.given if "graph" not in step)
    found = explored(replace(hole.bounds, rules=ALL - set(hole.without)), given).found
    assert found
    assert _in_order(("B gets the lock on segment 1, on lb1", "B is connected to lb2 again"), found.schedule)


def test_one_fdatasync_more_does_not_close_hole_14() -> None:
    hole = next(hole for hole in HOLES if hole.name.startswith("14: "))
    assert explored(replace(hole.bounds, fence=True, rules=ALL - set(hole.without))).found


def test_each_rule_has_its_hole() -> None:
    assert {rule for hole in HOLES for rule in hole.without} == set(RULES)


WITHOUT_LINKS = frozenset({"crash", "torn write", "failed write", "failed sync"})
SOUND = {
    "one update, one fault of any kind": Bounds(requests=1, faults=1),
    "three services, two updates, four segments, no fault": Bounds(services=3, requests=2, faults=0, segments=4),
    "two updates, one repeated, a service or a commit fails": Bounds(faults=1, kinds=WITHOUT_LINKS, repeats=1),
    "two updates, a service or a commit fails twice": Bounds(faults=2, kinds=WITHOUT_LINKS),
}


@pytest.mark.parametrize("name", SOUND)
def test_with_all_rules_nothing_is_found(name: str) -> None:
    result = explored(SOUND[name])
    _nothing(result)
    assert f"| {name} | {result.states:,} |" in DECISION.read_text()


LOOKS = Bounds(faults=1, kinds=frozenset({"flap"}), turns_look=True)


def test_a_turn_needs_a_look_up_alone_where_both_bricks_have_the_segment() -> None:
    result = explored(LOOKS)
    _nothing(result)
    assert f"{result.states:,} states with a lost connection" in (DECISION.parent / "22-session-log.md").read_text()


@pytest.mark.parametrize("rule", ["1 look-up before answer", "4 proof before reads"])
def test_a_turn_needs_that_look_up(rule: str) -> None:
    found = explored(replace(LOOKS, rules=ALL - {rule})).found
    assert found and found.violation == STALE


LEASES = replace(LOOKS, leases=True)


def test_a_turn_within_a_lease_needs_nothing() -> None:
    result = explored(LEASES)
    _nothing(result)
    assert f"{result.states:,} states with leases" in (DECISION.parent / "22-session-log.md").read_text()


def test_who_takes_over_has_to_wait_for_leases() -> None:
    found = explored(replace(LEASES, waits=False)).found
    assert found and found.violation == STALE


def _within(inner: Bounds, outer: Bounds) -> bool:
    """Whether all that happens within some bounds does within others, with all rules."""
    numbers = ("services", "requests", "segments", "faults", "repeats")
    return inner.kinds <= outer.kinds | (frozenset(FAULTS) if not inner.faults else frozenset()) and all(
        getattr(inner, name) <= getattr(outer, name) for name in numbers
    )


OTHERS = tuple(
    hole for hole in HOLES if hole.given or not any(_within(hole.bounds, bounds) for bounds in SOUND.values())
)


@pytest.mark.parametrize("hole", OTHERS, ids=_names(OTHERS))
def test_all_rules_close_a_hole_beyond_those_bounds(hole: Hole) -> None:
    if "7: a page" in hole.name:
        with pytest.raises(LookupError, match="Q's turn"):
            hole.explored(ALL)
    else:
        _nothing(hole.explored(ALL))


def test_a_hole_is_within_bounds_that_were_explored() -> None:
    assert [hole.name.split(":")[0] for hole in OTHERS] == ["2", "2", "5", "7", "15"]


def test_giving_up_a_segment_does_not_help_where_the_lock_decides() -> None:
    hole = next(hole for hole in HOLES if hole.name.startswith("1b: "))
    found = explored(replace(hole.bounds, segments=3, rules=ALL - {hole.without[0]})).found
    assert found
    assert _in_order(("A gets the lock on segment 1, on lb1", "B gets the lock on segment 1, on lb2"), found.schedule)


class _Stopped(Model):
    """A is stopped (SIGSTOP) from the beginning, and all that is asked is whether another one can serve."""

    def steps(self, state: State) -> Iterator[Step]:
        for number in range(1, len(state.services)):
            for name, after, _ in self._service(state, number):
                yield name, after, "served" if name.endswith("is the writer") else ""
        yield from self._world(state)


def test_a_stopped_writer_keeps_its_lock_and_all_service_for_good() -> None:
    """Hole 10: only who may take over without the lock can serve."""

    def served(rules: frozenset[str]) -> Exploration:
        model = _Stopped(Bounds(faults=0, cuts=(), rules=rules))
        return explore(model.start(), model.steps, model.canonical)

    _nothing(served(ALL - {"1 exclusive name"}))
    assert served(ALL).found


def test_two_files_of_one_name_are_reached() -> None:
    """Hole 9's third part: A makes a segment on lb1 and B one of that name on lb2."""

    class Mismatch(Model):
        def steps(self, state: State) -> Iterator[Step]:
            for name, after, _ in super().steps(state):
                first, second = after.volume.files[1].copies
                yield name, after, "two" if first and second and first.creator != second.creator else ""

    model = Mismatch(Bounds(requests=1, faults=2, kinds=frozenset({"flap", "power cut"})))
    assert explore(model.start(), model.steps, model.canonical).found


def test_every_fault_happens() -> None:
    """A fault that no schedule can have would prove nothing by being tried."""
    model = Model(Bounds(faults=2))
    words = {
        "crash": "is started again",
        "torn write": "its node dies",
        "failed write": "and fails",
        "failed sync": "fdatasync fails on both",
        "restart": "brick is restarted",
        "power cut": "lb1's power is cut",
        "all power cut": "power of both",
        "flap": "loses its link",
        "cut": "network is cut",
        "graph": "graph changes",
    }
    assert words.keys() == FAULTS.keys()
    for kind, word in words.items():

        class Watch(Model):
            wanted = word

            def steps(self, state: State) -> Iterator[Step]:
                return ((name, after, "it" if self.wanted in name else "") for name, after, _ in super().steps(state))

        kinds = frozenset({kind, "flap"} if kind == "graph" else {kind})
        model = Watch(Bounds(faults=2, kinds=kinds))
        assert explore(model.start(), model.steps, model.canonical).found, kind
