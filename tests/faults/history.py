"""What clients met: every request, its answer, and what the sessions held in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

SERVED = "served"
NO_ANSWER = "no answer"
"""The client gave up; the update may have been stored or not."""
CONNECTION = "connection error"
"""Refused, reset, or closed before the answer was complete."""


@dataclass(frozen=True)
class Attempt:
    """One request of one client. All times are seconds on the history's own clock.

    Attributes:
        begin: When it was sent.
        end: When the answer was complete, or the client gave up.
        client: Who asked.
        session: Whose cookie it carried; a name of the clients' own.
        update: What it asked to store; no two attempts ask for the same.
        asked_since: When the client first asked for what this attempt asks again.
        outcome: `SERVED`, `NO_ANSWER`, `CONNECTION`, or an HTTP status.
        count: Number of updates in the session after this one, as the answer says; 0 without an answer.
        node: The PHP node that answered.
        balancer: The balancer that it came through.
        replaced: Whether the answer brought another session in place of the one asked for.
    """

    begin: float
    end: float
    client: str
    session: str
    update: str
    asked_since: float
    outcome: str
    count: int = 0
    node: str = ""
    balancer: str = ""
    replaced: bool = False

    @property
    def served(self) -> bool:
        """Whether the client was told that the update is stored."""
        return self.outcome == SERVED


@dataclass
class History:
    """One fault under load.

    Attributes:
        attempts: In the order in which they ended.
        ids: Session to the begin of the SHA-256 of its ID, by which the machines' logs name it.
        held: Session to its updates, oldest first, as each of several readers saw them when all was over.
        fault: When the fault began.
        restore: When what was broken began to be put back.
        restored: When putting it back was done, as far as that is a command.
    """

    attempts: list[Attempt] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    held: dict[str, list[list[str]]] = field(default_factory=dict)
    fault: float = 0
    restore: float = 0
    restored: float = 0

    def to_json(self) -> dict[str, Any]:
        """For a file; attempts as rows, since there are thousands."""
        return {**asdict(self), "attempts": [list(asdict(attempt).values()) for attempt in self.attempts]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        rows: Sequence[Sequence[Any]] = stored["attempts"]
        return cls(**{**stored, "attempts": [Attempt(*row) for row in rows]})
