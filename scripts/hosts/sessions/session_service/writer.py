"""The one service that writes. It takes the log over, commits updates in groups, and answers when both disks have them.

Who writes after segment n first creates n + 1: that creation decides, and no lock or clock does. After each commit the
writer looks for the next segment, and asks the mount whether the bricks still have his own; then he answers.
"""

from __future__ import annotations

import asyncio
import errno
import sys
import time as clock
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from . import wire
from .records import HEADER, NO_CHAIN, NO_REQUEST, UPDATES, Batch, Head, Kind, Position, Record, encoded
from .replay import ENDED_SECONDS, State, Tail, catch_up, tail_of
from .turns import Turn, Turns
from .volume import NotWholeError, Segment, Volume

SEGMENT_BYTES = 64 << 20
"""A segment that has more is followed by another one."""
BATCH_BYTES = wire.MAX_DATA
"""So much of updates goes into one batch; each follower gets it as one frame."""
COPY_BYTES = 128 << 10
"""So much of what an old segment still holds is copied with one commit."""
KEPT_FREE = 4 * SEGMENT_BYTES
"""With less room than this new sessions are refused; what is there goes on, and is cleaned."""
GATHER_SECONDS = 0.002
"""So long a round waits for more where it has fewer than three quarters of the last one's."""
BEGIN_FREE = 1 << 20
"""With less room no segment is begun."""
TROUBLE_SECONDS = 1.0
"""For so long a writer tries to go on with a volume that fails. Then another node may fare better."""
SWEEP_SECONDS = 60
"""So often each session is looked at, whether its life is over."""
LOOKS, LOOK_PAUSE = 250, 0.005
"""So many are looked at in one go, and so long everybody else has then."""

T = TypeVar("T")
Reply = Callable[[bytes], None]


class DeposedError(Exception):
    """Another service writes now."""


@dataclass(frozen=True)
class Peer:
    """One worker of PHP's, of a node."""

    node: Hashable
    channel: int


@dataclass(frozen=True)
class _Update:
    """A record that waits for its commit, and who is told of it: nobody of an end that comes with time."""

    record: Record
    replies: list[Reply] = field(default_factory=list)


@dataclass(frozen=True)
class _Question:
    """Somebody who has a session's turn, and waits to be told what is stored."""

    peer: Peer
    id: bytes
    reply: Reply


@dataclass(frozen=True)
class _Commit:
    """A batch that is confirmed, and its bytes."""

    batch: Batch
    data: bytes


def say(text: str) -> None:
    """Writes a line to the journal."""
    print(text, file=sys.stderr, flush=True)


def log_time(started: tuple[int, float]) -> int:
    """The log's time, which goes on from `started` by the monotonic clock."""
    return started[0] + int((clock.monotonic() - started[1]) * 1000)


class Writer:
    """A term.

    Args:
        volume: Where the log is.
        state: What this service knows of the log.
        name: Its node's name.
        address: Where other services ask it, `HOST:PORT`.
        confirmed: Called with each confirmed batch: its segment and its bytes.
    """

    def __init__(
        self, volume: Volume, state: State, name: str, address: str, confirmed: Callable[[Batch, bytes], None]
    ) -> None:
        self.state = state
        self._volume, self._name, self._address, self._confirmed = volume, name, address, confirmed
        self._turns = Turns()
        self._segment: Segment | None = None
        self._end = state.position
        self._updates: list[_Update] = []
        self._questions: list[_Question] = []
        self._storing: dict[bytes, _Update] = {}
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, "commit")
        self._loop = asyncio.get_running_loop()
        self._started = (state.time, clock.monotonic())
        self._next_version = 0
        self._timers: dict[tuple[Peer, bytes], asyncio.TimerHandle] = {}
        self._waiting: Counter[Hashable] = Counter()
        self._busy_since: float | None = None
        self._is_full = False
        self._rolls_at = 0.0
        self._must_roll = self._is_cleaning = False
        self._removes_below = 0
        self._commits = 0
        self._expected = 0
        self._is_taking_over = False
        self._since = 0

    # A term's beginning and its end.

    async def take_over(self) -> None:
        """Begins the term.

        Raises:
            DeposedError: Another service was faster.
            OSError: The volume does not work.
            LogError: A part of the log is missing or damaged.
        """
        await self._take_over(None)
        self._since = int(clock.time())

    async def _take_over(self, mine: int | None) -> None:
        """Creates the next segment, then reads the end of what was there, and commits a header that tells it.

        Args:
            mine: The last segment of this term, if it has one; another one must not have followed.
        """
        begun = clock.monotonic()
        self._is_taking_over = True
        try:
            state, tail = await self._on_disk(self._take_log, mine)
        finally:
            self._is_taking_over = False
        state.time = max(state.time, tail.time)
        self.state = state
        self._started = (state.time, clock.monotonic())
        self._next_version = max(
            [self._next_version, state.next_version, *(record.version + 1 for record in tail.records)]
        )
        self._apply([await self._on_disk(self._commit_head, self._head(tail.position), tuple(tail.records))])
        say(
            f"writes segment {self.state.position.segment}, after {clock.monotonic() - begun:.2f} s, "
            f"with {self.state.stored} sessions"
        )

    def _take_log(self, mine: int | None) -> tuple[State, Tail]:
        newest = self._volume.newest(self.state.position.segment)
        if mine is not None and newest != mine:
            raise DeposedError(f"segment {newest} is not mine")
        self._begin_segment(newest + 1)
        tail = tail_of(self._volume, newest, self.state.position)
        return catch_up(self._volume, self.state, tail.position, newest), tail

    def _begin_segment(self, number: int) -> None:
        self._let_go()
        if self._volume.room()[0] < BEGIN_FREE:
            # A segment would be there, and stay without a header.
            raise OSError(errno.ENOSPC, "there is no room for a segment")
        try:
            self._segment = self._volume.create(number)
        except FileExistsError:
            raise DeposedError(f"segment {number} is another's") from None

    def _head(self, previous: Position) -> Head:
        oldest = self.state.entries.oldest_segment()
        first = previous.segment if oldest is None else min(oldest, previous.segment)
        return Head(first, previous, self._next_version, self._name, self._address)

    def _commit_head(self, head: Head, records: tuple[Record, ...]) -> _Commit:
        commit = self._put(HEADER, Position(self.segment.number, 0, NO_CHAIN), records, head)
        self._removes_below = head.first
        return commit

    def _put(self, kind: bytes, start: Position, records: tuple[Record, ...], head: Head | None = None) -> _Commit:
        """Commits a batch: when it returns, both disks have it, and this service is the writer."""
        time = log_time(self._started)
        data, end = encoded(kind, start, time, records, head)
        self.segment.put(data, start.offset)
        self._look()
        self._end = end
        self._commits += 1
        return _Commit(Batch(kind, start, end, start.offset, time, head, records), data)

    def _look(self) -> None:
        """That nobody else writes, and the bricks have what was written."""
        self._must_be_last(self.segment.number)
        self.segment.check()

    def _must_be_last(self, number: int) -> None:
        """That nobody else writes."""
        if self._volume.exists(number + 1):
            raise DeposedError(f"segment {number + 1} is there")
        self._must_be_there(number)

    def _must_be_there(self, number: int) -> None:
        """That no segment has followed this one and gone again: whoever removes one has removed those before it."""
        if not self._volume.exists(number):
            raise DeposedError(f"segment {number} is gone, so others have followed it")

    def _apply(self, commits: Iterable[_Commit]) -> None:
        for commit in commits:
            self.state.apply(commit.batch)
            self._confirmed(commit.batch, commit.data)

    @property
    def segment(self) -> Segment:
        """The segment that it writes.

        Raises:
            NotWholeError: It has none at the moment.
        """
        if self._segment is None:
            raise NotWholeError(errno.EBADF, "no segment is open")
        return self._segment

    def _let_go(self) -> None:
        if self._segment is not None:
            self._segment.close()
        self._segment = None

    def close(self) -> None:
        """Ends the term: nobody is answered any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._disk.submit(self._let_go)
        self._disk.shutdown(wait=False)

    async def _on_disk(self, call: Callable[..., T], *args: object) -> T:
        self._busy_since = clock.monotonic()
        try:
            return await self._loop.run_in_executor(self._disk, call, *args)
        finally:
            self._busy_since = None

    @property
    def stuck(self) -> float:
        """For how many seconds the volume has owed an answer."""
        since = self._busy_since
        return clock.monotonic() - since if since is not None else 0.0

    # Commits.

    async def serve(self) -> None:
        """Commits until another service writes.

        Raises:
            DeposedError: It does.
            LogError: A part of the log is missing or damaged.
        """
        housekeeping = self._loop.create_task(self._keep_house())
        housekeeping.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                await self._wake.wait()
                if housekeeping.done():
                    housekeeping.result()
                if len(self._updates) + len(self._questions) < self._expected:
                    # Those of the last round come again soon. A commit costs the bricks as much for one as for all.
                    await asyncio.sleep(GATHER_SECONDS)
                self._wake.clear()
                updates = self._next_updates()
                questions, self._questions = self._questions, []
                self._expected = (len(updates) + len(questions)) * 3 // 4
                await self._round(updates, questions)
        finally:
            housekeeping.cancel()

    def _next_updates(self) -> list[_Update]:
        """Those of the next batch; what does not fit waits."""
        count = size = 0
        for update in self._updates:
            size += update.record.size
            if count and size > BATCH_BYTES:
                self._wake.set()
                break
            count += 1
        taken, self._updates = self._updates[:count], self._updates[count:]
        return taken

    async def _round(self, updates: list[_Update], questions: list[_Question]) -> None:
        """One commit, or where there is nothing to commit the proof that this service is the writer."""
        copies = self._copies({update.record.id for update in updates}) if self._is_cleaning else []
        records = (*(update.record for update in updates), *copies)
        try:
            if self._must_roll or self._end.offset >= SEGMENT_BYTES:
                self._must_roll = False
                self._apply([await self._on_disk(self._roll, self._head(self._end))])
            self._apply(await self._on_disk(self._write, records))
        except OSError as error:
            say(f"segment {self._end.segment} is over: {error}")
            await self._recover(updates, questions)
            return
        for update in updates:
            self._settle(update, wire.version_body(wire.STORED, update.record.version))
        for question in questions:
            self._answer(question)
        if self._is_cleaning:
            self._wake.set()

    def _roll(self, head: Head) -> _Commit:
        self._begin_segment(self._end.segment + 1)
        self._must_be_there(self._end.segment)
        return self._commit_head(head, ())

    def _write(self, records: tuple[Record, ...]) -> list[_Commit]:
        if not records and self.segment.is_everywhere():
            self._look()
            return []
        commit = self._put(UPDATES, self._end, records)
        if self._removes_below:
            # Whoever takes over now finds the end behind the header, and asks nothing of what is older.
            self._remove_below(self._removes_below)
            self._removes_below = 0
        return [commit]

    def _remove_below(self, first: int) -> None:
        try:
            for number in self._volume.numbers():
                if number < first:
                    self._volume.remove(number)
        except OSError as error:
            # What is left is in nobody's way, and goes with the next ones.
            say(f"cannot remove what is older than segment {first}: {error}")

    async def _recover(self, updates: list[_Update], questions: list[_Question]) -> None:
        """After a commit of which nobody knows what has become: takes over as anyone would, then sees.

        Raises:
            OSError: The volume does not work here. Whoever waits is told to whoever writes next.
        """
        deadline = clock.monotonic() + TROUBLE_SECONDS
        while True:
            # A segment of this term's may have been begun, and no other one.
            mine = self._segment.number if self._segment is not None else self._end.segment
            try:
                await self._take_over(mine)
                break
            except OSError:
                if clock.monotonic() >= deadline:
                    raise
                await asyncio.sleep(0.2)
        for update in updates:
            self._again(update)
        self._questions = [*questions, *self._questions]
        self._wake.set()

    def _again(self, update: _Update) -> None:
        record = update.record
        if not update.replies:
            # What has come since may be newer. A session whose life is over is found again.
            return
        entry = self.state.entries.get(record.id)
        if entry is not None and entry.request == record.request != NO_REQUEST:
            self._settle(update, wire.version_body(wire.STORED, entry.version))
        else:
            self._updates.append(_Update(record._replace(version=self._version()), update.replies))

    def _settle(self, update: _Update, body: bytes) -> None:
        if not update.replies:
            return
        self._storing.pop(update.record.id, None)
        for reply in update.replies:
            reply(body)
        self._turns.stored(update.record.id)

    def _version(self) -> int:
        self._next_version += 1
        return self._next_version - 1

    # Requests.

    def handle(self, peer: Peer, body: bytes, reply: Reply) -> None:
        """What a worker, or his node's service, asks."""
        match body[0]:
            case wire.TAKE:
                self._take(peer, wire.take(body), reply)
            case wire.STORE:
                self._store(peer, wire.store(body), reply)
            case wire.RELEASE:
                self._give_back(peer, body[1:])
            case wire.GONE:
                self.leave(peer)
            case wire.RECLAIM:
                _version, id = wire.of_version(body)
                if self._turns.of(id) is None:
                    self._turns.give(id, peer)
            case _:
                reply(wire.refused_body("its node's service says what the writer does not know"))

    def leave(self, peer: Peer) -> None:
        """A worker is gone, with all that he had or waited for."""
        for key in [key for key in self._timers if key[0] == peer]:
            self._stop_waiting(*key)
        self._turns.leave(peer)

    def leave_node(self, node: Hashable, channels: Iterable[int]) -> None:
        """A node is gone."""
        for channel in channels:
            self.leave(Peer(node, channel))

    def _give_back(self, peer: Peer, id: bytes) -> None:
        self._stop_waiting(peer, id)
        self._turns.give_back(id, peer)

    def _stop_waiting(self, peer: Peer, id: bytes) -> None:
        if (timer := self._timers.pop((peer, id), None)) is not None:
            timer.cancel()
            self._waiting[peer.node] -= 1

    def _take(self, peer: Peer, asked: wire.Take, reply: Reply) -> None:
        id = asked.id
        turn = self._turns.of(id)
        if turn is not None and turn.holder != peer and self._waiting[peer.node] >= asked.places:
            reply(wire.refused_body("too many requests wait for sessions on this node"))
            return

        def granted() -> None:
            self._stop_waiting(peer, id)
            self._questions.append(_Question(peer, id, reply))
            self._wake.set()

        if not self._turns.ask(id, peer, granted):
            self._waiting[peer.node] += 1
            seconds = asked.wait / 1000
            give_up = partial(self._give_up, peer, id, reply, seconds, self._turns.passed(id))
            self._timers[peer, id] = self._loop.call_later(seconds, give_up)

    def _give_up(self, peer: Peer, id: bytes, reply: Reply, seconds: float, passed: int) -> None:
        if seconds and self._turns.passed(id) > passed:
            # The others have their turns; his will come.
            self._timers[peer, id] = self._loop.call_later(seconds, self._give_up, peer, id, reply, 0.0, 0)
            return
        self._give_back(peer, id)
        reply(wire.refused_body("another request has held its lock for too long"))

    def _answer(self, asked: _Question) -> None:
        """Tells the one who has the turn what is stored, as of a moment in which this service was the writer."""
        turn = self._turns.of(asked.id)
        if turn is None or turn.holder != asked.peer:
            return
        entry, time = self.state.entries.get(asked.id), log_time(self._started)
        if entry is not None and entry.kind is not Kind.ENDED and entry.is_over(time):
            # It is over when that is in the log.
            self._updates.append(_Update(self._ended(asked.id)))
            self._questions.append(asked)
            self._wake.set()
            return
        if entry is None or entry.kind is Kind.ENDED:
            asked.reply(wire.held_body(Kind.ENDED, entry.version if entry else 0, 0, 0, b""))
        else:
            age = max(0, time - entry.changed)
            asked.reply(wire.held_body(entry.kind, entry.version, age, entry.lifetime, entry.data))

    def _ended(self, id: bytes) -> Record:
        return Record(Kind.ENDED, id, self._version(), NO_REQUEST, ENDED_SECONDS, log_time(self._started), b"")

    def _store(self, peer: Peer, asked: wire.Store, reply: Reply) -> None:
        id = asked.id
        entry = self.state.entries.get(id)
        if entry is not None and entry.request == asked.request != NO_REQUEST:
            # It is done, whoever has the turn by now.
            reply(wire.version_body(wire.STORED, entry.version))
            return
        if (storing := self._storing.get(id)) is not None and storing.record.request == asked.request:
            # It is under way; its node's connection has ended meanwhile.
            storing.replies.append(reply)
            return
        turn = self._turns.of(id)
        if turn is None:
            # Its turn was of another term, or of a service that was started anew; what it has read decides.
            turn = self._turns.give(id, peer)
        if (why := self._objection(turn, peer, asked)) is not None:
            reply(wire.refused_body(why))
            return
        lifetime = ENDED_SECONDS if asked.kind is Kind.ENDED else asked.lifetime
        changed = log_time(self._started)
        record = Record(asked.kind, id, self._version(), asked.request, lifetime, changed, asked.data)
        turn.is_storing = True
        self._storing[id] = _Update(record, [reply])
        self._updates.append(self._storing[id])
        self._wake.set()

    def _objection(self, turn: Turn, peer: Peer, asked: wire.Store) -> str | None:
        entry = self.state.entries.get(asked.id)
        if turn.holder != peer:
            return "another request has its turn"
        if turn.is_storing:
            return "it is being stored"
        if asked.expected != (entry.version if entry else 0):
            return "another request has changed it"
        if self._is_full and entry is None and asked.kind == Kind.STORED:
            return "there is no room for it"
        return None

    # What is done beside.

    async def _keep_house(self) -> None:
        """Once a second: sees whether it still writes, that all bricks have the segment, and that there is room; ends
        what is over.

        Raises:
            DeposedError: Another service writes. Nobody may have asked this one since.
        """
        while True:
            await asyncio.sleep(1)
            try:
                await self._loop.run_in_executor(self._disk, self._examine)
            except OSError as error:
                say(f"cannot examine the volume: {error}")
            await self._end_what_is_over()
            self._is_cleaning = self._is_cleaning or self._is_too_long()
            if self._must_roll or self._is_cleaning or self._updates:
                self._wake.set()

    def _is_too_long(self) -> bool:
        live, total = self.state.live, self.state.log_bytes
        if len(self.state.segments) < 3:
            return False
        return total > (live + live // 4 + COPY_BYTES if self._is_full else 2 * (live + SEGMENT_BYTES))

    def _examine(self) -> None:
        if self._segment is None:
            return
        self._must_be_last(self._segment.number)
        now = clock.monotonic()
        if now >= self._rolls_at and self._segment.misses_brick():
            # A brick that is back gets the new segment at once, and heals the old one, which nobody holds open then.
            self._must_roll = True
            self._rolls_at = now + 5
        free, total = self._volume.room()
        self._is_full = free < min(KEPT_FREE, total // 8)

    async def _end_what_is_over(self) -> None:
        """Looks at a part of the sessions, a few at a time, so that nobody waits for it."""
        looks = len(self.state.entries) // SWEEP_SECONDS + LOOKS
        for _ in range(0, looks, LOOKS):
            if len(self._updates) < LOOKS and not self._is_taking_over:
                over = self.state.sweep(LOOKS, log_time(self._started), lambda id: self._turns.of(id) is not None)
                self._updates += [_Update(self._ended(id)) for id in over]
                if over:
                    self._wake.set()
            await asyncio.sleep(LOOK_PAUSE)

    def _copies(self, besides: set[bytes]) -> list[Record]:
        """A part of what the oldest segment still holds, to be written again. When that is nothing the segment goes."""
        oldest = next(iter(self.state.segments))
        found: list[Record] = []
        size = 0
        for id, entry in self.state.entries.of_segment(oldest):
            if size >= COPY_BYTES or oldest == self._end.segment:
                break
            if id not in besides:
                found.append(entry.record(id))
                size += found[-1].size
        if not found:
            self._is_cleaning = False
            self._must_roll = oldest != self._end.segment
        return found

    def statistics(self) -> dict[str, object]:
        """What is told to people."""
        state = self.state
        return {
            "writer": self._name,
            "since": self._since,
            "time": log_time(self._started),
            "segment": state.position.segment,
            "first": next(iter(state.segments)),
            "segments": len(state.segments),
            "bytes": state.log_bytes,
            "live": state.live,
            "sessions": state.stored,
            "known": len(state.entries),
            "turns": len(self._turns),
            "waiting": sum(self._waiting.values()),
            "commits": self._commits,
            "full": self._is_full,
        }
