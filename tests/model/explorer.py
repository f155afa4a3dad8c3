"""Breadth-first exploration of all states that a model can reach, with the shortest way to what must not be."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar

State = TypeVar("State", bound=Hashable)
Step = tuple[str, State, str]
"""What happens, the state after it, and what is wrong with it, in a word or two; "" if nothing is."""


class Found(NamedTuple):
    """A violation and a shortest schedule that leads to it."""

    violation: str
    schedule: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{number:3}. {step}" for number, step in enumerate(self.schedule, 1)]
        return "\n".join([*lines, f"     => {self.violation}"])


class Exploration(NamedTuple):
    """What was seen. Without `found` and with `complete`, nothing wrong can be reached."""

    states: int
    steps: int
    depth: int
    complete: bool
    found: Found | None


def explore(
    start: State,
    steps: Callable[[State], Iterable[Step[State]]],
    canonical: Callable[[State], State],
    *,
    limit: int = 50_000_000,
) -> Exploration:
    """Visits the states that `steps` leads to, nearest first, until it meets a violation, has seen all, or `limit` of
    them.

    `canonical` makes one state of all that differ in nothing that matters: of each such set the first one that is met
    goes on. A state is remembered by its hash of 64 bits. That two of n states share one, so that the second is left
    out, has a probability of n² / 2⁶⁵: a few in ten million for two million states."""
    seen = {hash(canonical(start))}
    parents, words = array("L", [0]), array("L", [0])
    names = {"": 0}
    waiting: deque[tuple[int, int, State]] = deque([(0, 0, start)])
    taken = depth = 0
    while waiting:
        place, depth, state = waiting.popleft()
        for name, after, violation in steps(state):
            taken += 1
            if violation:
                schedule = (*_way(place, parents, words, list(names)), name)
                return Exploration(len(seen), taken, depth + 1, False, Found(violation, schedule))
            digest = hash(canonical(after))
            if digest in seen:
                continue
            seen.add(digest)
            waiting.append((len(parents), depth + 1, after))
            parents.append(place)
            words.append(names.setdefault(name, len(names)))
        if len(seen) > limit:
            return Exploration(len(seen), taken, depth, False, None)
    return Exploration(len(seen), taken, depth, True, None)


def _way(place: int, parents: array[int], words: array[int], names: list[str]) -> list[str]:
    way = []
    while place:
        way.append(names[words[place]])
        place = parents[place]
    return way[::-1]
