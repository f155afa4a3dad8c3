"""The service of a node: PHP's workers on one side, the writer on the other. Where there is no writer, it becomes one.

Requests go to the writer in this process, or to that of another node; what was asked and is not answered, and which
turns the workers have, is told to the next writer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time as clock
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from . import wire
from .records import LogError, Position, batches
from .replay import State, catch_up, last_head
from .volume import Volume
from .writer import DeposedError, Peer, Writer, say

T = TypeVar("T")

ASK_SECONDS = 0.3
"""So often a node asks the writer whether it is there."""
SILENT_SECONDS = 1.2
"""A writer that has said nothing for so long is taken to be gone."""
STUCK_SECONDS = 1.0
"""A writer whose volume has not answered for so long gives way to a node whose volume does."""
WAIT_SECONDS = 5.0
"""Whoever has waited so long for a writer is refused, and after that at once, until there is one."""
CONNECT_SECONDS = 0.5
RANK_SECONDS = 0.3
"""So much longer each further node waits before it takes over."""
MAX_BEHIND = 64 << 20
"""A node that has not taken so many bytes of what it follows is cut off; one that has not read so far lets them go."""
LAG_SECONDS = 5.0
"""So long after it could not follow, a node tries again."""
LOOKS = 200
"""A follower looks at all ids in so many parts, one each `ASK_SECONDS`."""
FORGETS_LATER = 60_000
"""So many milliseconds later than the writer a follower forgets an id: a request may still have its turn there."""


@dataclass(frozen=True)
class Identity:
    """Which node this is.

    Attributes:
        name: Its name.
        address: Its address; other services find its own there.
        port: At this port.
        rank: Its place among those that write, from 0 on; None for a node that never does.
    """

    name: str
    address: str
    port: int
    rank: int | None

    @property
    def where(self) -> str:
        """What a segment's header tells."""
        return f"{self.address}:{self.port}"


class _Asked(NamedTuple):
    """A request that is not answered yet.

    Attributes:
        id: The session that it is about.
        body: What was asked.
        since: When, by the monotonic clock.
    """

    id: bytes
    body: bytes
    since: float


@dataclass
class _Worker:
    """A worker of PHP's that has a connection to this service.

    Attributes:
        frames: The connection.
        asked: What he waits for.
        turns: The sessions that he has, with the versions that he has read.
    """

    frames: wire.Frames
    asked: _Asked | None = None
    turns: dict[bytes, int] = field(default_factory=dict)


def _read(worker: _Worker, body: bytes) -> _Asked:
    """Lets nothing through that would end its node's connection to the writer, or stay there for good.

    Raises:
        ValueError: It is no request, or comes before the answer to the last one.
        struct.error: It is too short.
    """
    request = wire.take(body) if body[0] == wire.TAKE else wire.store(body)
    if worker.asked is not None:
        raise ValueError("a worker asks while it waits for an answer")
    return _Asked(request.id, body, clock.monotonic())


class _Here:
    """The writer in this process, as workers' requests reach it."""

    def __init__(self, writer: Writer, answer: Callable[[int, bytes], None]) -> None:
        self._writer, self._answer = writer, answer

    def send(self, channel: int, body: bytes) -> None:
        """Passes a request on."""
        self._writer.handle(Peer("", channel), body, lambda answer: self._answer(channel, answer))


@dataclass
class _Follower:
    """Another node's service that sends its requests here.

    Attributes:
        frames: The connection.
        follows: Whether it wants to know what is confirmed.
        channels: Those of its workers that have asked for something.
    """

    frames: wire.Frames
    follows: bool
    channels: set[int] = field(default_factory=set)


class Node:
    """The service.

    Args:
        volume: Where the log is.
        identity: Which node this is.
    """

    def __init__(self, volume: Volume, identity: Identity) -> None:
        self._volume, self._identity = volume, identity
        self._state = State()
        self._disk = ThreadPoolExecutor(1, "read")
        self._loop = asyncio.get_running_loop()
        self._workers: dict[int, _Worker] = {}
        self._channels = 0
        self._link: wire.Frames | _Here | None = None
        self._without_since = clock.monotonic()
        self._writer: Writer | None = None
        self._followers: dict[wire.Frames, _Follower] = {}
        self._trouble = ""
        self._last_writer = ""

    # Workers.

    def worker(self) -> wire.Frames:
        """A connection of a worker."""
        self._channels = self._channels % 0xFFFFFFFF + 1
        channel, worker = self._channels, _Worker(wire.Frames())
        self._workers[channel] = worker
        worker.frames.on_frame = lambda _, body: self._asked(channel, worker, body)
        worker.frames.on_lost = lambda: self._gone(channel)
        return worker.frames

    def _asked(self, channel: int, worker: _Worker, body: bytes) -> None:
        match body[0]:
            case wire.STATISTICS:
                worker.frames.send(0, bytes([wire.TOLD]) + json.dumps(self.statistics()).encode())
                return
            case wire.RELEASE:
                worker.turns.pop(body[1:], None)
            case wire.TAKE | wire.STORE:
                worker.asked = _read(worker, body)
                if self._link is None and worker.asked.since - self._without_since > WAIT_SECONDS:
                    self.answered(channel, self._refusal())
                    return
            case _:
                worker.frames.send(0, wire.refused_body("a worker does not ask this"))
                return
        if self._link is not None:
            self._link.send(channel, body)

    def _refusal(self) -> bytes:
        return wire.refused_body(self._trouble or "no session service writes")

    def answered(self, channel: int, body: bytes) -> None:
        """A writer's answer to a worker."""
        worker = self._workers.get(channel)
        if worker is None or worker.asked is None:
            return
        asked, worker.asked = worker.asked, None
        if body[0] == wire.HELD:
            worker.turns[asked.id] = wire.held(body).version
        elif body[0] == wire.STORED:
            worker.turns[asked.id] = wire.of_version(body)[0]
        worker.frames.send(0, body)

    def _gone(self, channel: int) -> None:
        del self._workers[channel]
        if self._link is not None:
            self._link.send(channel, bytes([wire.GONE]))

    def _use(self, link: wire.Frames | _Here | None) -> None:
        """From now on requests go there: first of all the turns that workers have, then what they wait for."""
        if link is None and self._link is not None:
            self._without_since = clock.monotonic()
        self._link = link
        if link is None:
            return
        for channel, worker in self._workers.items():
            for id, version in worker.turns.items():
                link.send(channel, wire.version_body(wire.RECLAIM, version, id))
        for channel, worker in self._workers.items():
            if worker.asked is not None:
                link.send(channel, worker.asked.body)

    async def watch_link(self, note: str) -> None:
        """As long as there is a writer, says so; refuses who has waited too long for one. For ever.

        Args:
            note: The file that has the machine's uptime, in hundredths of a second, when there last was one.
        """
        while True:
            await asyncio.sleep(0.25)
            if self._link is not None:
                # While a volume owes the writer here an answer, other nodes fare better.
                if self._writer is None or self._writer.stuck < STUCK_SECONDS:
                    _write_uptime(note)
                continue
            late = clock.monotonic() - WAIT_SECONDS
            for channel, worker in list(self._workers.items()):
                # Who has waited for others before has not waited for a writer yet.
                if worker.asked is not None and max(worker.asked.since, self._without_since) < late:
                    self.answered(channel, self._refusal())

    # Other nodes.

    def peer(self) -> wire.Frames:
        """A connection of another node's service."""
        frames = wire.Frames()
        frames.on_frame = lambda channel, body: self._told(frames, channel, body)
        frames.on_lost = lambda: self._left(frames)
        return frames

    def _told(self, frames: wire.Frames, channel: int, body: bytes) -> None:
        writer = self._writer
        if writer is None:
            frames.send(0, bytes([wire.NOT_I]))
        elif channel:
            follower = self._followers.get(frames)
            if follower is None:
                return
            follower.channels.add(channel)
            writer.handle(Peer(frames, channel), body, lambda answer: frames.send(channel, answer))
            if body[0] == wire.GONE:
                follower.channels.discard(channel)
        elif body[0] == wire.HELLO:
            # Who cannot follow for a while says so again, and keeps its turns.
            self._followers.setdefault(frames, _Follower(frames, body[1] == 1))
            frames.send(0, wire.welcome_body(writer.state.position))
        elif body[0] == wire.ASK:
            frames.send(0, wire.version_body(wire.HERE, int(writer.stuck * 1000)))

    def _left(self, frames: wire.Frames) -> None:
        follower = self._followers.pop(frames, None)
        if follower is not None and self._writer is not None:
            self._writer.leave_node(frames, follower.channels)

    def _confirmed(self, start: Position, data: bytes) -> None:
        """Tells those who follow what was just confirmed."""
        body = None
        for follower in list(self._followers.values()):
            if not follower.follows or follower.frames.transport is None:
                continue
            if follower.frames.transport.get_write_buffer_size() > MAX_BEHIND:
                follower.frames.close()
                continue
            body = body or wire.version_body(wire.BATCH, start.segment, start.offset.to_bytes(8) + data)
            follower.frames.send(0, body)

    # The search for a writer.

    async def run(self) -> None:
        """Finds the writer, or becomes it, again and again."""
        while True:
            try:
                await self._once()
                self._trouble = ""
            except (OSError, LogError) as error:
                if str(error) != self._trouble:
                    say(f"has no writer: {error}")
                self._trouble = str(error)
                await asyncio.sleep(0.5)

    async def _once(self) -> None:
        try:
            newest, number, writer, address = await self._on_disk(self._look)
        except (OSError, LogError):
            # Without a volume of its own a node can still ask who wrote last.
            if not self._last_writer or not await self._follow(self._last_writer):
                raise
            return
        self._last_writer = address if writer != self._identity.name else ""
        if address and writer != self._identity.name and await self._follow(address):
            return
        rank = self._identity.rank
        if rank is None:
            await asyncio.sleep(0.1)
            return
        # Whoever has created a segment may be about to commit its header; and one node is to come before another.
        await asyncio.sleep(RANK_SECONDS * rank if newest == number else 1.0 + RANK_SECONDS * rank)
        if (await self._on_disk(self._look))[:2] == (newest, number):
            await self._write()

    def _look(self) -> tuple[int, int, str, str]:
        """The newest segment, the newest with a header, its writer and where that one is."""
        newest = self._volume.newest(self._state.position.segment)
        begin = last_head(self._volume, newest)
        return newest, begin.end.segment, begin.told.writer, begin.told.address

    async def _on_disk(self, call: Callable[..., T], *args: object) -> T:
        return await self._loop.run_in_executor(self._disk, call, *args)

    async def _write(self) -> None:
        """Writes, until another one does."""
        writer = Writer(
            self._volume,
            self._state,
            self._identity.name,
            self._identity.where,
            lambda batch, data: self._confirmed(batch.start, data),
        )
        try:
            await writer.take_over()
            self._writer = writer
            self._use(_Here(writer, self.answered))
            await writer.serve()
        except DeposedError as error:
            say(f"does not write any more: {error}")
        finally:
            self._writer = None
            self._use(None)
            self._state = writer.state
            writer.close()
            for frames in list(self._followers):
                frames.close()

    async def _follow(self, address: str) -> bool:
        """Sends requests to a writer until it is gone.

        Returns:
            Whether it may still be found, there or elsewhere. If not, it is not there, or says nothing.
        """
        link = _Link(self, self._identity.rank is not None)
        host, port = address.rsplit(":", 1)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(lambda: link.frames, host, int(port))
                await link.welcomed
        except (OSError, TimeoutError):
            link.frames.close()
            return False
        say(f"follows {address}")
        try:
            self._use(link.frames)
            return await link.watch()
        finally:
            self._use(None)
            link.frames.close()

    async def catch_up(self, position: Position) -> None:
        """Reads the log up to a confirmed place."""
        self._state = await self._on_disk(catch_up, self._volume, self._state, position, position.segment)

    def apply(self, segment: int, rest: bytes) -> None:
        """Takes over what the writer has just confirmed.

        Raises:
            LogError: It does not follow what this node has.
        """
        offset, data = int.from_bytes(rest[:8]), rest[8:]
        here = self._state.position
        start = here if offset else Position(segment, 0, bytes(32))
        if (segment, offset) < (here.segment, here.offset):
            return
        if (start.segment, start.offset) != (segment, offset):
            raise LogError(f"follows to {here.segment}:{here.offset}, and hears of {segment}:{offset}")
        for batch in batches(data, start):
            if batch.head is not None and batch.head.previous not in (None, here):
                raise LogError("follows another end of the log")
            self._state.apply(batch)

    def forget_what_ended(self) -> None:
        """Forgets a part of what the writer has forgotten by now. What is over he ends."""
        self._state.sweep(len(self._state.entries) // LOOKS + LOOKS, self._state.time - FORGETS_LATER)

    async def can_look(self) -> bool:
        """Whether this node's own volume answers."""
        try:
            async with asyncio.timeout(0.5):
                await self._on_disk(self._volume.newest, self._state.position.segment)
        except (OSError, TimeoutError, LogError):
            return False
        return True

    def leave_writer(self) -> None:
        """Ends the connection to another node's writer, as a network may."""
        if isinstance(self._link, wire.Frames):
            self._link.close()

    def abort(self) -> None:
        """Ends all connections."""
        for frames in [*self._followers, *(worker.frames for worker in self._workers.values())]:
            frames.close()

    @property
    def writer(self) -> Writer | None:
        """The writer, if it is in this process."""
        return self._writer

    @property
    def writes(self) -> bool:
        """Whether this node is the one that writes."""
        return self._writer is not None

    @property
    def is_linked(self) -> bool:
        """Whether requests reach a writer."""
        return self._link is not None

    def statistics(self) -> dict[str, object]:
        """What this node knows, for people; the writer knows more."""
        state = self._writer.state if self._writer is not None else self._state
        return {
            "node": self._identity.name,
            "writes": self.writes,
            "linked": self.is_linked,
            "stored": state.stored,
            "segment": state.position.segment,
            "position": [state.position.segment, state.position.offset, state.position.chain.hex()],
            "time": state.time,
            "workers": len(self._workers),
            "trouble": self._trouble,
            "process": os.getpid(),
            "memory": _memory(),
            **(self._writer.statistics() if self._writer is not None else {}),
        }


def _memory() -> int:
    """The bytes that this process has in memory."""
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _write_uptime(path: str) -> None:
    """In one write of always the same length, so that nobody reads half of it."""
    hundredths = int(clock.clock_gettime(clock.CLOCK_BOOTTIME) * 100)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, f"{hundredths:<12}\n".encode())
    finally:
        os.close(file)


class _Link:
    """A connection to the writer of another node."""

    def __init__(self, node: Node, follows: bool) -> None:
        self.frames = wire.Frames()
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._node, self._follows = node, follows
        self._ended = asyncio.Event()
        self._heard = clock.monotonic()
        self._stuck = 0.0
        self._behind: deque[tuple[int, bytes]] | None = deque()
        self._bytes_behind = 0
        self._lags_since: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self.frames.on_frame = self._told
        self.frames.on_lost = self._lost
        self.frames.on_made = self._say_hello

    def _say_hello(self) -> None:
        self.frames.send(0, bytes([wire.HELLO, self._follows]))

    def _lost(self) -> None:
        self._ended.set()
        if self._reading is not None:
            self._reading.cancel()
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionError("it has ended the connection"))

    def _told(self, channel: int, body: bytes) -> None:
        self._heard = clock.monotonic()
        if channel:
            self._node.answered(channel, body)
            return
        match body[0]:
            case wire.WELCOME:
                if not self.welcomed.done():
                    self.welcomed.set_result(None)
                if self._follows:
                    self._behind, self._bytes_behind, self._lags_since = deque(), 0, None
                    self._reading = asyncio.ensure_future(self._catch_up(wire.welcome(body)))
            case wire.HERE:
                self._stuck = wire.of_version(body)[0] / 1000
            case wire.BATCH:
                self._batch(*wire.of_version(body))
            case wire.NOT_I:
                self.frames.close()

    def _batch(self, segment: int, rest: bytes) -> None:
        if self._lags_since is not None:
            return
        if self._behind is not None:
            self._behind.append((segment, rest))
            self._bytes_behind += len(rest)
            if self._bytes_behind > MAX_BEHIND:
                self._lag("more is written than it can read")
            return
        self._apply(segment, rest)

    def _apply(self, segment: int, rest: bytes) -> None:
        try:
            self._node.apply(segment, rest)
        except LogError as error:
            self._lag(str(error))

    def _lag(self, why: str) -> None:
        """Follows no more for a while. Its workers' requests go on, and it reads what it lacks when it takes over."""
        say(f"does not follow: {why}")
        self._behind, self._lags_since = None, clock.monotonic()

    async def _catch_up(self, position: Position) -> None:
        try:
            await self._node.catch_up(position)
        except (OSError, LogError) as error:
            self._lag(str(error))
        while self._behind:
            # What comes meanwhile waits behind it, and PHP's workers do not.
            segment, rest = self._behind.popleft()
            self._bytes_behind -= len(rest)
            self._apply(segment, rest)
            await asyncio.sleep(0)
        self._behind = None

    def _follow_again(self) -> None:
        since, reading = self._lags_since, self._reading
        if since is not None and clock.monotonic() - since > LAG_SECONDS and (reading is None or reading.done()):
            self._say_hello()

    async def watch(self) -> bool:
        """Goes on until the connection ends, or the writer gives no sign of life.

        Returns:
            Whether it was the connection.
        """
        while not self._ended.is_set():
            self.frames.send(0, bytes([wire.ASK]))
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._ended.wait()
            except TimeoutError:
                pass
            self._follow_again()
            if self._behind is None and (self._reading is None or self._reading.done()):
                self._node.forget_what_ended()
            if clock.monotonic() - self._heard > SILENT_SECONDS:
                say("the writer is silent")
                return False
            if self._stuck > STUCK_SECONDS and self._follows and await self._node.can_look():
                say("the writer's volume does not answer it")
                return False
        return True


async def listen(node: Node, path: str, identity: Identity) -> list[asyncio.Server]:
    """Takes connections of workers at a socket of the file system, and of other nodes, if they may have to ask here."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    # Each worker of PHP's may come at once.
    servers = [await loop.create_unix_server(node.worker, sock=listener, backlog=1024)]
    if identity.rank is not None:
        servers.append(await loop.create_server(node.peer, identity.address, identity.port))
    return servers
