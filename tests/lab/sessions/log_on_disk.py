"""A log on a plain folder, with what a mount would say of its bricks; services of nodes, and clients."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from scripts.hosts.sessions.session_service import ask, wire
from scripts.hosts.sessions.session_service.begin import begin
from scripts.hosts.sessions.session_service.records import Kind
from tests.commands import PROJECT
from tests.lab.conftest import Image

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


class Programs:
    """The service, compiled as a PHP node does it, with the constants that a test wants.

    Args:
        image: What compiles it, and whose libraries it runs with.
        folder: Where programs go.
    """

    def __init__(self, image: Image, folder: Path) -> None:
        self._image, self._folder = image, folder
        shutil.copytree(PROJECT / "scripts/hosts/sessions", folder / "sessions")
        shutil.copy(Path(__file__).with_name("faulty_volume.c"), folder)
        self._run(
            """
            source /files/sessions/compiler
            needed=(tcc libc6-dev linux-libc-dev)
            unpack_compiler /opt
            compile /opt -shared -o /files/faulty_volume.so /files/faulty_volume.c /usr/lib/*-linux-gnu/libc.so.6
            """
        )
        self.service = functools.cache(self._service)

    def _run(self, script: str) -> None:
        done = self._image.run(script, files=self._folder)
        assert done.returncode == 0, done.stdout

    def _service(self, *constants: str) -> list[str]:
        name = "-".join(["service", *constants]).replace("=", "-")
        words = " ".join(f"-D{constant}" for constant in constants)
        self._run(f"SOURCES=/files/sessions/service bash /files/sessions/build-service make /files/{name} {words}")
        [loader] = self._image.folder.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*")
        preload = f"--preload {self._folder / 'faulty_volume.so'}".split()
        return [str(loader), "--library-path", str(loader.parent), *preload, str(self._folder / name)]


class Frames(asyncio.Protocol):
    """One end of a connection that carries frames.

    Attributes:
        on_frame: Called with channel and body of each frame.
        on_lost: Called when the connection has ended.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.on_frame: Callable[[int, bytes], None] = lambda channel, body: None
        self.on_lost: Callable[[], None] = lambda: None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        self.on_lost()

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        self._rest += data
        while len(self._rest) >= wire.FRAME.size:
            length, channel = wire.FRAME.unpack_from(self._rest)
            end = wire.FRAME.size + length
            if len(self._rest) < end:
                return
            body, self._rest = self._rest[wire.FRAME.size : end], self._rest[end:]
            self.on_frame(channel, body)

    def send(self, channel: int, body: bytes) -> None:
        """Sends a frame, unless the connection has ended."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(wire.FRAME.pack(len(body), channel) + body)

    def close(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()


class Worker:
    """A worker of PHP's, as a service sees it."""

    def __init__(self, node: ServingNode) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._node = node
        self.frames = Frames()
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
    """A node's service, as a process.

    Args:
        folder: Where the log is.
        number: The node's.
        sockets: Where its socket, its faults and its journal go.
        program: What runs.

    Attributes:
        socket: Where workers ask.
    """

    def __init__(self, folder: Folder, number: int, sockets: Path, program: list[str]) -> None:
        self.number, self.folder, self.socket = number, folder, sockets / f"php{number}"
        self._program, self._journal = program, sockets / f"php{number}.log"
        self._control = sockets / f"php{number}.faults"
        self._control.mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> ServingNode:
        """Returns when it can be asked."""
        settings = {
            "FOLDER": str(self.folder.path),
            "SOCKET": str(self.socket),
            "NAME": f"php{self.number}",
            "ADDRESS": f"127.0.0.{self.number + 1}",
            "PORT": str(PORT),
            "RANK": str(self.number - 1) if self.number <= 3 else "",
            "CONTROL": str(self._control),
        }
        with self._journal.open("a") as journal:
            self._process = subprocess.Popen(self._program, env=settings, stderr=journal, stdin=subprocess.DEVNULL)
        await until(lambda: bool(self.told()))
        return self

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Ends it at once, with all its connections."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            ended = await asyncio.to_thread(self._process.wait, 30)
            assert ended == -signal.SIGKILL, f"php{self.number} has ended by itself, {ended}: {self.journal}"

    def told(self) -> dict[str, Any]:
        """What it tells people; nothing while it does not answer."""
        try:
            return ask.statistics(str(self.socket))
        except OSError:
            return {}

    @property
    def writes(self) -> bool:
        """Whether this node is the one that writes."""
        return bool(self.told().get("writes"))

    @property
    def is_linked(self) -> bool:
        """Whether requests reach a writer."""
        return bool(self.told().get("linked"))

    @property
    def journal(self) -> str:
        """What it has said."""
        return self._journal.read_text()

    def fault(self, name: str, text: str = "") -> None:
        """Begins a fault of its volume (faulty_volume.c)."""
        (self._control / name).write_text(text)

    def has_fault(self, name: str) -> bool:
        """Whether it goes on."""
        return (self._control / name).exists()

    def mend(self, name: str) -> None:
        """Ends a fault."""
        (self._control / name).unlink(missing_ok=True)

    async def lose_link(self) -> None:
        """Has it lose the writer for a moment."""
        before = self.journal.count("follows ")
        self.signal(signal.SIGUSR1)
        await until(lambda: self.journal.count("follows ") > before)

    async def held(self) -> None:
        """Holds its next commit, and returns when it is under way."""
        self.fault("hold")
        await until(lambda: self.has_fault("held"))

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
