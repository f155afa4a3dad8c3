"""Whether machines agree on the time, as far as somebody who asks them can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Apart(NamedTuple):
    """Two machines whose clocks differ, by so many seconds or more."""

    behind: str
    ahead: str
    seconds: float


def furthest_apart(ahead: Mapping[str, tuple[float, float]]) -> Apart | None:
    """The two clocks that differ most.

    Args:
        ahead: Machine to the seconds by which its clock is ahead of that of whoever asks: at least, and at most, since
            an answer takes time.

    Returns:
        None when all of them may agree.
    """
    if not ahead:
        return None
    first = max(ahead, key=lambda name: ahead[name][0])
    last = min(ahead, key=lambda name: ahead[name][1])
    seconds = ahead[first][0] - ahead[last][1]
    return Apart(last, first, seconds) if seconds > 0 else None
