"""When machines of others install updates by themselves: never two at once of those that sessions need two of.

Pure data. unattended-upgrades restarts what it replaces, and may boot the machine. While one of both bricks and the
arbiter is away, the other two decide; with a second one gone, sessions are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.plan.topology import BALANCERS, FIRST_NODE

DAY = 24 * 60

NEEDED = (*BALANCERS, FIRST_NODE)
"""The machines of which no two may be away."""

HOURS = range(2, 24, 2)
"""Hours in UTC that a machine is offered: far enough apart to heal in between."""

_OWN_MINUTES = 60
"""How long the window of an hour of its own is: half an hour in which it begins, and half an hour of work."""


@dataclass(frozen=True)
class Window:
    """A time of each day.

    Attributes:
        begin: Minute of the day, in UTC.
        minutes: How long it lasts.
    """

    begin: int
    minutes: int

    def overlaps(self, other: Window) -> bool:
        """Whether both may be at once."""
        return (other.begin - self.begin) % DAY < self.minutes or (self.begin - other.begin) % DAY < other.minutes

    def __str__(self) -> str:
        """For a person."""
        ends = (self.begin + self.minutes) % DAY
        return f"{self.begin // 60:02}:{self.begin % 60:02} to {ends // 60:02}:{ends % 60:02} UTC"


def windows_in(said: Sequence[str]) -> list[Window]:
    """The windows that a machine tells of, as `BEGIN MINUTES` (scripts/own_updates.sh)."""
    return [Window(*map(int, one.split())) for one in said if one]


@dataclass(frozen=True)
class Clash:
    """Two machines in one window.

    Attributes:
        other: The other machine.
        hour: An hour in UTC that this one may have for itself.
    """

    other: str
    hour: int

    @property
    def remedy(self) -> str:
        """What root types on the machine so that it has that hour."""
        timer = "apt-daily-upgrade.timer"
        lines = rf"[Timer]\nOnCalendar=\nOnCalendar={self.hour:02}:00 UTC\nRandomizedDelaySec=30m\n"
        return (
            f"mkdir -p /etc/systemd/system/{timer}.d; printf '{lines}' >/etc/systemd/system/{timer}.d/hour.conf; "
            f"systemctl daemon-reload; systemctl restart {timer}"
        )


def clashes(windows: Mapping[str, Sequence[Window]]) -> dict[str, Clash]:
    """The machines whose windows meet those of one before them in `NEEDED`; all may take the hours that are offered."""
    settled = {name: list(windows.get(name, ())) for name in NEEDED}
    found: dict[str, Clash] = {}
    for number, name in enumerate(NEEDED):
        other = next((each for each in NEEDED[:number] if _meet(settled[each], settled[name])), None)
        if other is None:
            continue
        others = [window for each in NEEDED if each != name for window in settled[each]]
        hour = next((hour for hour in HOURS if not _meet([Window(hour * 60, _OWN_MINUTES)], others)), HOURS[0])
        found[name] = Clash(other, hour)
        settled[name] = [Window(hour * 60, _OWN_MINUTES)]
    return found


def _meet(some: Sequence[Window], others: Sequence[Window]) -> bool:
    return any(one.overlaps(other) for one in some for other in others)
