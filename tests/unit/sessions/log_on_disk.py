"""A log on a plain folder, with what a mount would say of its bricks; services of nodes here, and clients."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.hosts.sessions.session_service import wire
from scripts.hosts.sessions.session_service.begin import begin
from scripts.hosts.sessions.session_service.node import Identity, Node, listen
from scripts.hosts.sessions.session_service.records import Kind
from scripts.hosts.sessions.session_service.volume import Volume

# Another run of these tests may be under way.
with socket.create_server(("127.0.0.1", 0)) as free:
    PORT: int = free.getsockname()[1]

GRAPH = "first"
BRICKS = ("sessions-client-0", "sessions-client-1")
WELL = """[xlator.protocol.client.{brick}.priv]
fd.0.remote_fd = -1
------ = ------
fd.1.remote_fd = 3
------ = ------
granted-posix-lock[0] = owner = 1, cmd = F_SETLK fl_type = F_WRLCK, fl_start = 0
------ = ------
connected = 1
total_bytes_read = 73074
"""
"""What a client says of a brick that had two files of this mount open: one is lost there, the locked one is well."""


class Folder:
    """Where a log is, as if a volume was mounted there.

    Attributes:
        path: The mount point.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        for brick in BRICKS:
            (path / ".meta" / "graphs" / GRAPH / brick).mkdir(parents=True)
            self.tell(brick, WELL.format(brick=brick))
        (path / ".meta" / "graphs" / "active").symlink_to(GRAPH)
        begin(str(path))

    def tell(self, brick: str, text: str) -> None:
        """Has the mount say this of a brick."""
        told = self.path / ".meta" / "graphs" / GRAPH / brick / "private"
        told.with_suffix(".new").write_text(text)
        # Nobody reads half of it, as with a mount.
        told.with_suffix(".new").rename(told)

    def loses(self, brick: str, *, connected: bool = True) -> None:
        """As after a connection that was lost, and is back: the brick has the file open no more."""
        text = WELL.format(brick=brick).replace("fd.1.remote_fd = 3", "fd.1.remote_fd = -1")
        self.tell(brick, text if connected else text.replace("connected = 1", "connected = 0"))

    def heals(self) -> None:
        """Both bricks have what is opened."""
        for brick in BRICKS:
            self.tell(brick, WELL.format(brick=brick))

    def volume(self) -> Volume:
        """A service's view of it."""
        return Volume(str(self.path))

    def segment(self, number: int) -> Path:
        """The file of a segment."""
        return self.path / "log" / f"segment-{number:012}"

    def numbers(self) -> list[int]:
        """The segments that there are."""
        return sorted(int(each.name.rsplit("-", 1)[1]) for each in (self.path / "log").iterdir())


@contextmanager
def short_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    path = Path(f"/tmp/{os.getpid()}-{abs(hash(str(tmp_path))) % 10**8}")
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Worker:
    """A worker of PHP's, as a service sees it."""

    def __init__(self, node: ServingNode) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._node = node
        self.frames = wire.Frames()
        self.frames.on_frame = lambda _, body: self._answers.put_nowait(body)

    async def connect(self) -> Worker:
        """Opens its connection."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self.frames, str(self._node.socket))
        return self

    async def ask(self, body: bytes) -> bytes:
        """Asks something, and waits for the answer."""
        self.frames.send(0, body)
        async with asyncio.timeout(60):
            return await self._answers.get()

    async def take(self, id: bytes, wait: float = 30, places: int = 100) -> wire.Held:
        """Takes a session's turn. Raises `ConnectionRefusedError` if that is refused."""
        return wire.held(_told(await self.ask(wire.take_body(wire.Take(int(wait * 1000), places, id))), wire.HELD))

    async def store(
        self,
        id: bytes,
        version: int,
        data: bytes,
        *,
        request: bytes = b"",
        lifetime: int = 1000,
        kind: Kind = Kind.STORED,
    ) -> int:
        """Stores it. Raises `ConnectionRefusedError` if that is refused."""
        body = wire.store_body(wire.Store(kind, version, request or os.urandom(8), lifetime, id, data))
        return wire.of_version(_told(await self.ask(body), wire.STORED))[0]

    def release(self, id: bytes) -> None:
        """Gives the turn back."""
        self.frames.send(0, bytes([wire.RELEASE]) + id)

    def close(self) -> None:
        """Ends, as one that is killed."""
        self.frames.close()


def _told(body: bytes, wanted: int) -> bytes:
    if body[0] != wanted:
        raise ConnectionRefusedError(body[1:].decode())
    return body


class ServingNode:
    """A node's service in this process.

    Attributes:
        node: The service.
        socket: Where workers ask.
        folder: Where the log is.
    """

    def __init__(self, folder: Folder, number: int, sockets: Path, *, port: int) -> None:
        writes = number <= 3
        self.identity = Identity(f"php{number}", f"127.0.0.{number + 1}", port, number - 1 if writes else None)
        self.socket = sockets / f"php{number}"
        self.folder = folder
        self.node: Node
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> ServingNode:
        """Starts it."""
        self.node = Node(self.folder.volume(), self.identity)
        self._servers = await listen(self.node, str(self.socket), self.identity)
        self._tasks = [
            asyncio.create_task(self.node.run()),
            asyncio.create_task(self.node.watch_link(f"{self.socket}-linked")),
        ]
        return self

    async def kill(self) -> None:
        """Ends it at once, with all its connections."""
        for task in self._tasks:
            task.cancel()
        for server in self._servers:
            server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(10):
            # Connections that were just taken are ended, too, as with a process that ends.
            self.node.abort()
            await asyncio.sleep(0.001)

    async def worker(self) -> Worker:
        """A worker that asks here."""
        return await Worker(self).connect()


async def until(what: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs a scenario to its end."""

    async def whole() -> None:
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(whole())
