"""Whether machines agree on the time, as far as somebody who asks them can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Apart(NamedTuple):
    """Two machines whose clocks differ, by so many seconds or more."""

    behind: str
    ahead: str
    seconds: float


def ahead(showed: str, asked: float, heard: float) -> tuple[float, float]:
    """Seconds by which a clock is ahead of this box's, at least and at most: it `showed` that when this box's was
    somewhere from `asked` to `heard`."""
    return float(showed) - heard, float(showed) - asked


def furthest_apart(clocks: Mapping[str, tuple[float, float]]) -> Apart | None:
    """The two clocks that differ most.

    Args:
        clocks: Machine to the seconds by which its clock is ahead, at least and at most.

    Returns:
        None when all of them may agree.
    """
    if not clocks:
        return None
    first = max(clocks, key=lambda name: clocks[name][0])
    last = min(clocks, key=lambda name: clocks[name][1])
    seconds = clocks[first][0] - clocks[last][1]
    return Apart(last, first, seconds) if seconds > 0 else None
