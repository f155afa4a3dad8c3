"""What trials came to: rows for programs, a table for people, and which targets were missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.faults import checker
from tests.faults.alerts import CLEAR_SECONDS, FASTER, REMEMBERED
from tests.faults.checker import Phases, Verdict
from tests.faults.faults import ALL, FAULTS, GLUSTER
from tests.faults.trial import Trial

SERVED_FROM = 3.0
"""Target in seconds: every request that begins that long after a fault, or later, is served."""

HEALED = 30.0
"""Target in seconds: from the restoration until nothing waits to be healed."""

SLOWER = 3.0
"""Target: while some clients do harm, the p99 of others is not more than so many times what it was before."""


@dataclass(frozen=True)
class Row:
    """The figures of one trial."""

    trial: Trial
    verdict: Verdict
    phases: Phases

    @property
    def longest_wait(self) -> float:
        """Of a client, in seconds, whichever way the fault went: in or out."""
        return max(self.phases.during.longest_wait, self.phases.after.longest_wait)

    @property
    def longest_stall(self) -> float:
        """In which nobody at all was served, in seconds."""
        return max(self.phases.during.longest_stall, self.phases.after.longest_stall)

    @property
    def misses(self) -> list[str]:
        """What is not as `safe` should have it, but for broken promises, which the verdict names."""
        fault = next((fault for fault in FAULTS if fault.name == self.trial.fault), None)
        stops_service, hits_clients = fault and fault.stops_service, fault and fault.hits_clients
        told = self._harm() if fault and fault.by_clients else []
        if hits_clients:
            told += ["sessions are refused"] if "503" in self.phases.during.errors else []
        elif self.phases.during.served_after > SERVED_FROM and not stops_service:
            told.append(f"requests fail until {self.phases.during.served_after:.1f} s")
        if any(outcome.startswith("5") for outcome in self.phases.after.errors) and not stops_service:
            told.append("5xx after the restoration")
        if self.phases.after.served_after > SERVED_FROM and not stops_service:
            told.append(f"requests fail until {self.phases.after.served_after:.1f} s after the restoration")
        if self.trial.healed is None or self.trial.healed > HEALED:
            told.append("not healed in time")
        if self.trial.repaired:
            told.append("up had something to do afterwards")
        return [*told, *self._missed_alerts(fault.alert if fault else ""), *self.trial.problems]

    def _missed_alerts(self, expected: str) -> list[str]:
        """What an operator who relies on alerts would not have learnt, or would still believe."""
        alerts = self.trial.alerts
        if alerts is None:
            return []
        silent = [f"{expected} was not raised"] if expected and expected not in alerts else []
        return silent + [
            f"{name} has not cleared"
            for name, times in alerts.items()
            if times.cleared is None and name not in REMEMBERED
        ]

    def _harm(self) -> list[str]:
        """What other visitors notice of clients that do harm, and should not."""
        before, during = self.phases.before.p99, self.phases.during.p99
        told = [f"p99 is {during / before:.1f} times that of before"] if during > SLOWER * before else []
        balancers = {attempt.balancer for attempt in self.trial.history.attempts if attempt.served}
        return told + (["the floating IP has moved"] if len(balancers) > 1 else [])

    @property
    def shortfalls(self) -> list[str]:
        """Broken promises and missed targets."""
        return [*([_counts(self.verdict.violations)] if self.verdict.violations else []), *self.misses]

    def to_json(self) -> dict[str, object]:
        """For programs; times in seconds."""
        during, after = self.phases.during, self.phases.after
        return {
            "fault": self.trial.fault,
            "profile": self.trial.profile,
            "seed": self.trial.seed,
            "acknowledged": self.verdict.acknowledged,
            "violations": self.verdict.violations,
            "repeated": len(self.verdict.repeated),
            "errors_before": self.phases.before.errors,
            "failed_in_flight": self.phases.in_flight,
            "errors": during.errors,
            "served_from": round(during.served_after, 2),
            "errors_after_restore": after.errors,
            "served_from_after_restore": round(after.served_after, 2),
            "p99_before": round(self.phases.before.p99, 3),
            "p99": round(during.p99, 3),
            "longest_wait": round(self.longest_wait, 2),
            "longest_stall": round(self.longest_stall, 2),
            "healed": None if self.trial.healed is None else round(self.trial.healed, 1),
            "room": None if self.trial.room is None else round(self.trial.room, 3),
            "alerts": self.trial.alerts and {name: times._asdict() for name, times in self.trial.alerts.items()},
            "misses": self.misses,
            "repaired": self.trial.repaired,
        }


def row(trial: Trial) -> Row:
    """Judges one trial."""
    return Row(trial, checker.judge(trial.history), checker.phases(trial.history))


def ordered(rows: Iterable[Row]) -> list[Row]:
    """By fault, profiles side by side, `article` first."""
    # A stored trial may be of a fault that the list no longer has.
    order = {name: number for number, name in enumerate(ALL)}
    return sorted(rows, key=lambda row: (order.get(row.trial.fault, len(ALL)), row.trial.profile, row.trial.seed))


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in numbers.items()) or "-"


def _after(row: Row) -> str:
    after = row.phases.after
    return _counts(after.errors) + (f" until {after.served_after:.1f} s" if after.errors else "")


def _then(row: Row) -> str:
    repaired = [f"up did: {row.trial.repaired}"] if row.trial.repaired else []
    # `up` does not know of Redis, and is not asked.
    return "; ".join([*row.trial.problems, *repaired]) or ("nothing to do" if row.trial.profile in GLUSTER else "-")


def _alerts(row: Row) -> str:
    told = [
        f"{name} {times.fired:.0f} s" + ("" if times.cleared is None else f" ({times.cleared:.0f} s)")
        for name, times in (row.trial.alerts or {}).items()
    ]
    return ", ".join(told) or "-"


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "fault": lambda row: row.trial.fault,
    "profile": lambda row: row.trial.profile,
    "acknowledged": lambda row: str(row.verdict.acknowledged),
    "lost": lambda row: str(len(row.verdict.lost)),
    "other violations": lambda row: _counts({k: n for k, n in row.verdict.violations.items() if k != "lost"}),
    "served from": lambda row: f"{row.phases.during.served_after:.1f} s",
    "longest wait": lambda row: f"{row.longest_wait:.1f} s",
    "stall": lambda row: f"{row.longest_stall:.1f} s",
    "p99": lambda row: f"{row.phases.during.p99 * 1000:.0f} ms ({row.phases.before.p99 * 1000:.0f})",
    "failed in flight": lambda row: _counts(row.phases.in_flight),
    "errors": lambda row: _counts(row.phases.during.errors),
    "errors after restore": _after,
    "healed": lambda row: "never" if row.trial.healed is None else f"{row.trial.healed:.0f} s",
    "room": lambda row: "-" if row.trial.room is None else f"{row.trial.room:.0%}",
    "preview": _then,
    "alerts": _alerts,
}

LEGEND = f"""\
lost: acknowledged updates that are missing in the end (target of safe: 0).
served from: every request that began so long after the fault, or later, was served (target: {SERVED_FROM:g} s).
longest wait: of a client who gives up on a request after 2 s and asks again.
stall: the longest time in which nobody was served. p99: during the fault, and in brackets before it (target where
clients do harm: {SLOWER:g} times as much). failed in flight: requests that were under way when the fault came.
no answer: within 2 s. errors after restore: of requests that began after it (target: no 5xx).
healed: from the restoration until nothing waited to be healed (target: {HEALED:g} s).
room: the share of a brick's disk that is free in the end.
alerts: with --alerts, when each fired, from the fault, and in brackets when it had cleared, from the restoration
(target: {CLEAR_SECONDS:g} s). They need {FASTER} times less patience than by the rules' own `for`."""


def is_credible(rows: Sequence[Row]) -> bool:
    """Whether the checker has seen losses where they are known to be. Without trials of all faults it need not have."""
    plain = [row for row in rows if row.trial.profile == "article"]
    tried = {row.trial.fault for row in plain}
    wanted = {fault.name for fault in FAULTS if "article" in fault.profiles}
    return not tried >= wanted or any(row.verdict.lost for row in plain)


def table(rows: Iterable[Row]) -> str:
    """One line for each trial, under a heading."""
    lines: list[Sequence[str]] = [list(_COLUMNS)]
    lines += [[show(row) for show in _COLUMNS.values()] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def summary(rows: Sequence[Row]) -> str:
    """For each profile what was lost in all, and what fell short of the targets."""
    lines = []
    for profile in sorted({row.trial.profile for row in rows}):
        mine = [row for row in rows if row.trial.profile == profile]
        lost = sum(len(row.verdict.lost) for row in mine)
        told = sum(row.verdict.acknowledged for row in mine)
        lines.append(f"{profile}: {lost} of {told} acknowledged updates lost, in {len(mine)} trials")
        for row in mine:
            if row.shortfalls:
                lines.append(f"  {row.trial.fault}: {'; '.join(row.shortfalls)}")
    return "\n".join(lines)
