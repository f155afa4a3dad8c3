"""Which request has a session, and who waits for it: first come, first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

Holder = Hashable
"""Who has a turn, or waits for one: a worker of PHP's, of some node."""


@dataclass
class _Waiter:
    holder: Holder
    granted: Callable[[], None]


@dataclass
class Turn:
    """A session that somebody has.

    Attributes:
        holder: Who has it.
        is_storing: Whether an update of his is under way. Nobody else has the turn before that has ended.
        is_given_back: Whether he wants it no more.
        passed: How many had the turn since somebody waits for it.
    """

    holder: Holder
    is_storing: bool = False
    is_given_back: bool = False
    passed: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)


class Turns:
    """All turns of a term. They end with it."""

    def __init__(self) -> None:
        self._turns: dict[bytes, Turn] = {}
        self._of: dict[Holder, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def of(self, id: bytes) -> Turn | None:
        """The turn of a session, if somebody has it."""
        return self._turns.get(id)

    def ask(self, id: bytes, holder: Holder, granted: Callable[[], None]) -> bool:
        """Asks for a session's turn; whoever has it asks in vain for another one. `granted` is called at once or later.

        Returns:
            Whether it was granted at once.
        """
        turn = self._turns.get(id)
        self._of.setdefault(holder, set()).add(id)
        if turn is None:
            self._turns[id] = Turn(holder)
        elif turn.holder != holder:
            turn.waiting.append(_Waiter(holder, granted))
            return False
        granted()
        return True

    def give(self, id: bytes, holder: Holder) -> Turn:
        """Gives a turn that nobody has."""
        self._of.setdefault(holder, set()).add(id)
        self._turns[id] = Turn(holder)
        return self._turns[id]

    def passed(self, id: bytes) -> int:
        """How many have had this session's turn while somebody waited for it."""
        turn = self._turns.get(id)
        return turn.passed if turn else 0

    def give_back(self, id: bytes, holder: Holder) -> None:
        """The holder wants the turn no more, or does not wait for it any longer."""
        if (held := self._of.get(holder)) is not None:
            held.discard(id)
            if not held:
                del self._of[holder]
        turn = self._turns.get(id)
        if turn is None:
            return
        if turn.holder != holder:
            turn.waiting = deque(each for each in turn.waiting if each.holder != holder)
        elif turn.is_storing:
            turn.is_given_back = True
        else:
            self._pass_on(id, turn)

    def stored(self, id: bytes) -> None:
        """The holder's update has ended, whatever has become of it."""
        turn = self._turns.get(id)
        if turn is not None:
            turn.is_storing = False
            if turn.is_given_back:
                self._pass_on(id, turn)

    def leave(self, holder: Holder) -> None:
        """The holder is gone."""
        for id in list(self._of.get(holder, ())):
            self.give_back(id, holder)

    def _pass_on(self, id: bytes, turn: Turn) -> None:
        if not turn.waiting:
            del self._turns[id]
            return
        following = turn.waiting.popleft()
        self._turns[id] = Turn(following.holder, passed=turn.passed + 1, waiting=turn.waiting)
        following.granted()
