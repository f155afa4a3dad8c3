"""Judges a history: what became of the updates, and how long clients waited. Pure code.

The page keeps all updates of a session, oldest first, and answers with their number. So an acknowledged update must be
there in the end, and an update that was asked for after another one was acknowledged must have a higher number.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.faults.history import Attempt, History


@dataclass(frozen=True)
class Verdict:
    """What became of the updates; everything but `acknowledged` should be empty, or 0.

    Attributes:
        acknowledged: Number of updates that clients were told of.
        lost: Acknowledged updates that are missing in the end, or that some reader does not see.
        outdated: Acknowledged updates that were made on an older state than that of one which had been acknowledged
            before they were asked for.
        invented: What sessions hold though nobody asked for it there.
        repeated: What sessions hold more than once.
        reset: Sessions that began anew although they had acknowledged updates.
        disputed: Sessions that different readers see differently.
        unread: Sessions with acknowledged updates that nobody could read in the end.
    """

    acknowledged: int
    lost: tuple[str, ...]
    outdated: tuple[str, ...]
    invented: tuple[str, ...]
    repeated: tuple[str, ...]
    reset: tuple[str, ...]
    disputed: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def violations(self) -> dict[str, int]:
        """What is not empty, by name, with its size; a repeated update is a nuisance, no broken promise."""
        names = ("lost", "outdated", "invented", "reset", "disputed", "unread")
        return {name: len(getattr(self, name)) for name in names if getattr(self, name)}


def judge(history: History) -> Verdict:
    """Holds what clients were told against what the sessions hold."""
    asked: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        asked[attempt.session].append(attempt)
    told = {session: [attempt for attempt in attempts if attempt.served] for session, attempts in asked.items()}
    lost: list[str] = []
    invented: list[str] = []
    repeated: list[str] = []
    for session, readings in history.held.items():
        lost += [a.update for a in told.get(session, ()) if not all(a.update in reading for reading in readings)]
        held = set(itertools.chain.from_iterable(readings))
        invented += held - {attempt.update for attempt in asked.get(session, ())}
        repeated += [update for update in held if any(reading.count(update) > 1 for reading in readings)]
    return Verdict(
        acknowledged=sum(map(len, told.values())),
        lost=tuple(sorted(lost)),
        outdated=tuple(sorted(a.update for attempts in told.values() for a in outdated(attempts))),
        invented=tuple(sorted(invented)),
        repeated=tuple(sorted(repeated)),
        reset=tuple(sorted(session for session, attempts in told.items() if _was_reset(attempts))),
        disputed=tuple(sorted(session for session, readings in history.held.items() if not _agree(readings))),
        unread=tuple(sorted(s for s, attempts in told.items() if attempts and not history.held.get(s))),
    )


def _agree(readings: Sequence[Sequence[str]]) -> bool:
    return all(reading == readings[0] for reading in readings)


def outdated(told: Sequence[Attempt]) -> list[Attempt]:
    """Served attempts of one session whose count is not above that of each one served before they began."""
    by_end = sorted(told, key=lambda attempt: attempt.end)
    ends = [attempt.end for attempt in by_end]
    highest = list(itertools.accumulate((attempt.count for attempt in by_end), max))
    wrong = []
    for attempt in told:
        before = bisect.bisect_left(ends, attempt.begin)
        if before and attempt.count <= highest[before - 1]:
            wrong.append(attempt)
    return wrong


def _was_reset(told: Sequence[Attempt]) -> bool:
    first = min((attempt.end for attempt in told), default=0)
    return any(attempt.begin > first and (attempt.replaced or attempt.count == 1) for attempt in told)


@dataclass(frozen=True)
class Service:
    """How requests fared that began in one span of time. All times in seconds.

    Attributes:
        answered: Number of those that were served.
        errors: Outcome to number, for those that were not.
        served_after: Every request that began this long after the span's begin, or later in it, was served.
        longest_wait: Of a client, from first asking for something to being served, however often it asked.
        longest_stall: The longest time in which nobody at all was served.
        p99: 99 of 100 requests that were served took no longer.
    """

    answered: int
    errors: dict[str, int]
    served_after: float
    longest_wait: float
    longest_stall: float
    p99: float


def service(attempts: Iterable[Attempt], begin: float, end: float) -> Service:
    """How requests fared that began from `begin` on and before `end`."""
    attempts = list(attempts)
    inside = [attempt for attempt in attempts if begin <= attempt.begin < end]
    failed = [attempt for attempt in inside if not attempt.served]
    times = sorted(attempt.end - attempt.begin for attempt in inside if attempt.served)
    ends = sorted(attempt.end for attempt in attempts if attempt.served and begin <= attempt.end < end)
    waits = [attempt.end - attempt.asked_since for attempt in inside if attempt.served]
    # Who was never served waited until the end at least.
    last_by_client = {attempt.client: attempt for attempt in sorted(attempts, key=lambda attempt: attempt.begin)}
    waits += [
        attempt.end - attempt.asked_since
        for attempt in last_by_client.values()
        if not attempt.served and begin <= attempt.begin < end
    ]
    return Service(
        answered=len(inside) - len(failed),
        errors=dict(sorted(Counter(attempt.outcome for attempt in failed).items())),
        served_after=max((attempt.begin - begin for attempt in failed), default=0),
        longest_wait=max(waits, default=0),
        longest_stall=max((two - one for one, two in itertools.pairwise([begin, *ends, end])), default=0),
        p99=times[len(times) * 99 // 100] if times else 0,
    )


@dataclass(frozen=True)
class Phases:
    """A history in four parts.

    Attributes:
        before: Until the fault.
        in_flight: Requests under way when the fault began; only their clients' time-out ends those in a dead balancer.
        during: From the fault until restoring began.
        after: From then on.
    """

    before: Service
    in_flight: dict[str, int]
    during: Service
    after: Service


def phases(history: History) -> Phases:
    """Counts each request where it began, those in flight apart."""
    in_flight = [a for a in history.attempts if a.begin < history.fault <= a.end]
    others = [a for a in history.attempts if not a.begin < history.fault <= a.end]
    last = max((attempt.end for attempt in history.attempts), default=history.restore)
    return Phases(
        before=service(others, 0, history.fault),
        in_flight=dict(sorted(Counter(a.outcome for a in in_flight if not a.served).items())),
        during=service(others, history.fault, history.restore),
        after=service(others, history.restore, max(last, history.restore) + 1e-9),
    )
