"""`scripts/bench log`: the session services alone, with a log of many sessions. What they need of memory, how long
another one takes to take over, how long anybody waits for them, and what is left of visitors who never come back.

The log lies in a plain folder, with what a mount would say of two bricks, so that all but the volume is as in a
cluster. It is filled as a writer would, batch by batch, without one. Services are processes of their own. Who asks them
is this one, and a wait has what the box lets both wait. So it also tells how late it is itself when it only sleeps, and
the longest piece of work of the service in which it does nothing else, in time of the processor.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.plan.settings import PROJECT_FOLDER
from components.steps.host_scripts import HOST_SCRIPTS
from scripts.benchmark.report import table
from scripts.hosts.sessions.session_service import wire
from scripts.hosts.sessions.session_service.ask import Connection, statistics
from scripts.hosts.sessions.session_service.begin import begin
from scripts.hosts.sessions.session_service.records import (
    HEADER,
    NO_CHAIN,
    UPDATES,
    Head,
    Kind,
    Position,
    Record,
    encoded,
    first_batch,
)
from scripts.hosts.sessions.session_service.volume import FOLDER, segment_name

BRICK = """[xlator.protocol.client.{0}.priv]
fd.0.remote_fd = 0
granted-posix-lock[0] = owner = 1, cmd = F_SETLK fl_type = F_WRLCK, fl_start = 0
connected = 1
"""
PORT = 28408
_UNIT = (HOST_SCRIPTS / "sessions" / "session-log.service").read_text()
[_TUNABLES] = re.findall(r"^Environment=GLIBC_TUNABLES=(\S+)$", _UNIT, re.MULTILINE)
SEGMENT_BYTES = 64 << 20
"""As in service/log.h."""
BATCH = 20
"""So many sessions came at once."""
LIFETIME = 86_400
BRIEF = 2
"""Seconds for which a visitor's session lives who never comes back."""
VISITORS = 64
"""At once."""
GONE_SECONDS = 1200
"""By then nothing may be left of them: ten minutes, and two rounds of whoever looks."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The words of this measurement."""
    log = commands.add_parser("log", help="the session services alone, with a log of many sessions")
    log.set_defaults(measure=run)
    log.add_argument("--sessions", type=int, default=1_000_000, help="in the log (default: 1000000)")
    log.add_argument("--bytes", type=int, default=2048, help="each (default: 2048)")
    log.add_argument("--visitors", type=int, default=100_000, help="who never come back (default: 100000)")
    log.add_argument("--folder", type=Path, default=PROJECT_FOLDER / ".cluster" / "bench", help="with room for the log")


def _compile(folder: Path) -> None:
    """The service, as a PHP node compiles it; it tells of each piece of work for which all others wait."""
    made = folder / "session-service"
    build, sources = HOST_SCRIPTS / "sessions" / "build-service", HOST_SCRIPTS / "sessions" / "service"
    asked = {**os.environ, "SOURCES": str(sources)}
    subprocess.run([build, "make", made, "-DTELL_WORK"], env=asked, stdin=subprocess.DEVNULL, check=True)


class Service:
    """A node's service, as a process.

    Attributes:
        socket: Where it is asked.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.socket = str(folder / f"php{number}")
        asked = {
            "FOLDER": str(folder),
            "SOCKET": self.socket,
            "NAME": f"php{number}",
            "ADDRESS": f"127.0.0.{number + 1}",
            "PORT": str(PORT),
            "RANK": str(number - 1),
            "GLIBC_TUNABLES": _TUNABLES,
        }
        with (folder / "services.log").open("a") as log, (folder / "slow").open("a") as slow:
            self._process = subprocess.Popen([folder / "session-service"], env=asked, stderr=log, stdout=slow)

    def told(self) -> dict[str, Any]:
        """What it knows; nothing before it answers."""
        try:
            return statistics(self.socket)
        except OSError:
            return {}

    def until(self, what: Callable[[dict[str, Any]], bool], seconds: float = 600) -> float:
        """Waits for something that it is to know; the seconds that it took."""
        began = time.monotonic()
        while not ((told := self.told()) and what(told)):
            if time.monotonic() - began > seconds or self._process.poll() is not None:
                raise TimeoutError(f"{self.socket}: {told}")
            time.sleep(0.02)
        return time.monotonic() - began

    def megabytes(self, what: str = "VmRSS") -> float:
        """Its memory, as /proc has it."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{what}:")]
        return int(line.split()[1]) / 1024

    def processor_seconds(self) -> float:
        """What it has computed."""
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """At once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def _log(parent: Path) -> Iterator[Path]:
    """A log in a folder of its own."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="log-") as made:
        folder = Path(made)
        graphs = folder / ".meta" / "graphs"
        for name in ("sessions-client-0", "sessions-client-1"):
            (graphs / "only" / name).mkdir(parents=True)
            (graphs / "only" / name / "private").write_text(BRICK.format(name))
        (graphs / "active").symlink_to("only")
        begin(str(folder))
        _compile(folder)
        yield folder


def fill(folder: Path, numbers: Iterator[int], size: int, lifetime: Callable[[int], int]) -> int:
    """Writes sessions behind the first segment as a writer does; how many megabytes that are."""
    segment, total = 1, 0
    batch = first_batch((folder / FOLDER / segment_name(1)).read_bytes(), 1)
    end, version = batch.end if batch else Position(1, 0, NO_CHAIN), itertools.count(1)
    while some := list(itertools.islice(numbers, 1)):
        segment += 1
        with (folder / FOLDER / segment_name(segment)).open("wb") as file:
            head = Head(1, end, 1, "php9", "127.0.0.1:9")
            data, end = encoded(HEADER, Position(segment, 0, NO_CHAIN), 0, (), head)
            file.write(data)
            while end.offset < SEGMENT_BYTES and (some := [*some, *itertools.islice(numbers, BATCH - len(some))]):
                records = [
                    Record(
                        Kind.STORED, b"%032d" % each, next(version), os.urandom(8), lifetime(each), 0, os.urandom(size)
                    )
                    for each in some
                ]
                data, end = encoded(UPDATES, end, 0, records)
                file.write(data)
                total, some = total + len(data), []
    # The last batch of a log may be on one brick only; this one may.
    with (folder / FOLDER / segment_name(segment)).open("ab") as file:
        file.write(encoded(UPDATES, end, 0, ())[0])
    return total >> 20


class Waits:
    """How long a service lets somebody wait who asks it again and again, and changes a session of his each time."""

    def __init__(self, folder: Path, socket: str) -> None:
        self._socket, self._enough = socket, threading.Event()
        self._slow = folder / "slow"
        self._seen = len(self._slow.read_text().split())
        self.asked: list[float] = []
        self.stored: list[float] = []
        self.slept: list[float] = []

    def _sleep(self) -> None:
        while not self._enough.is_set():
            began = time.monotonic()
            time.sleep(0.001)
            self.slept.append(time.monotonic() - began)

    def _ask(self) -> None:
        with Connection(self._socket) as service:
            while not self._enough.is_set():
                began = time.monotonic()
                service.ask(bytes([wire.STATISTICS]))
                self.asked.append(time.monotonic() - began)
                time.sleep(0.001)

    def _store(self) -> None:
        with Connection(self._socket) as service:
            while not self._enough.is_set():
                began = time.monotonic()
                held = wire.held(service.ask(wire.take_body(wire.Take(30_000, 100, b"waits"))))
                asked = wire.Store(Kind.STORED, held.version, os.urandom(8), LIFETIME, b"waits", bytes(2048))
                service.ask(wire.store_body(asked))
                service.tell(bytes([wire.RELEASE]) + b"waits")
                self.stored.append(time.monotonic() - began)
                time.sleep(0.005)

    def __enter__(self) -> Waits:
        self._threads = [threading.Thread(target=each) for each in (self._ask, self._store, self._sleep)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for each in self._threads:
            each.join()

    def row(self) -> list[str]:
        """The longest, and the 99th of a hundred, in milliseconds; and the service's longest piece of work."""
        pieces = self._slow.read_text().split()[self._seen :]
        waits = (
            f"{max(found) * 1000:.0f} ({sorted(found)[len(found) * 99 // 100] * 1000:.1f})"
            for found in (self.asked, self.stored, self.slept)
        )
        return [*waits, f"{max(map(float, pieces), default=0) * 1000:.0f}"]


def _is_cleaned(told: dict[str, Any]) -> bool:
    """Whether the log has so much that nobody needs that it is cleaned."""
    return bool(told["bytes"] > 2 * (told["live"] + SEGMENT_BYTES))


def _say(text: str) -> None:
    print(text, flush=True)


def _taken_over(services: dict[int, Service], folder: Path) -> float:
    """Kills the writer; the seconds until the other one gives a turn, and the killed one follows again."""
    [writes] = [number for number, each in services.items() if each.told().get("writes")]
    other = services[3 - writes]
    with Connection(other.socket) as service:
        began = time.monotonic()
        services[writes].kill()
        service.ask(wire.take_body(wire.Take(30_000, 100, b"takes over")))
        seconds = time.monotonic() - began
    stored = other.told()["stored"]
    services[writes] = Service(folder, writes)
    services[writes].until(lambda told: told["linked"] and told["stored"] == stored)
    return seconds


def _one_log(asked: argparse.Namespace, sessions: int) -> list[str]:
    """A log with so many sessions, and two services: a row of the table."""
    with _log(asked.folder) as folder:
        size = fill(folder, iter(range(sessions)), asked.bytes, lambda number: LIFETIME)
        services: dict[int, Service] = {}
        try:
            services[1] = Service(folder, 1)
            reads = services[1].until(lambda told: told["writes"])
            memory, most = services[1].megabytes(), services[1].megabytes("VmHWM")
            services[2] = Service(folder, 2)
            follows = services[2].until(lambda told: told["linked"] and told["stored"] == sessions)
            taken = [_taken_over(services, folder) for _ in range(3)]
        finally:
            for each in services.values():
                each.kill()
    return [
        f"{sessions:,}",
        f"{size:,}",
        f"{memory:.0f} ({most:.0f})",
        f"{reads:.1f}",
        f"{follows:.1f}",
        ", ".join(f"{seconds:.2f}" for seconds in sorted(taken)),
    ]


def _pauses(asked: argparse.Namespace) -> list[list[str]]:
    """What somebody waits for while nothing happens, all that is over ends, and old segments are cleaned."""
    rows, sessions, draw = [], asked.sessions, random.Random(1)  # noqa: S311
    numbers = itertools.chain(range(sessions), (draw.randrange(sessions) for _ in range(sessions * 6 // 5)))
    with _log(asked.folder) as folder:
        size = fill(folder, numbers, asked.bytes, lambda number: LIFETIME if number % 10 else BRIEF)
        service = Service(folder, 1)
        try:
            service.until(lambda told: told["writes"])
            began, used = time.monotonic(), service.processor_seconds()
            with Waits(folder, service.socket) as waits:
                service.until(lambda told: not _is_cleaned(told))
            seconds, load = time.monotonic() - began, service.processor_seconds() - used
            now = service.told()["bytes"]
            rows.append(
                [f"cleaning {size:,} to {now >> 20:,} MB ({seconds:.0f} s, {load:.0f} s of a core)", *waits.row()]
            )
            with Waits(folder, service.socket) as waits:
                seconds = service.until(lambda told: told["sessions"] <= sessions * 9 // 10 + 1)
            rows.append([f"{sessions // 10:,} sessions end ({seconds:.0f} s more)", *waits.row()])
            used = service.processor_seconds()
            with Waits(folder, service.socket) as waits:
                time.sleep(25)
            load = (service.processor_seconds() - used) / 25
            rows.append([f"nothing else ({load:.2f} of a core)", *waits.row()])
        finally:
            service.kill()
    return rows


async def _visit(socket: str, numbers: Iterator[int], *, stores: bool) -> None:
    """Visitors without a cookie, one after the other: each gets a session of his own."""
    reader, writer = await asyncio.open_unix_connection(socket)

    async def ask(body: bytes) -> bytes:
        writer.write(wire.FRAME.pack(len(body), 0) + body)
        length, _ = wire.FRAME.unpack(await reader.readexactly(wire.FRAME.size))
        return await reader.readexactly(length)

    for number in numbers:
        id = b"visitor%025d" % number
        held = wire.held(await ask(wire.take_body(wire.Take(30_000, 100, id))))
        if stores:
            asked = wire.Store(Kind.STORED, held.version, os.urandom(8), BRIEF, id, bytes(2048))
            if (await ask(wire.store_body(asked)))[0] != wire.STORED:
                raise ConnectionError("a session was refused")
        writer.write(wire.FRAME.pack(len(id) + 1, 0) + bytes([wire.RELEASE]) + id)
    writer.close()


def _visitors(asked: argparse.Namespace) -> list[list[str]]:
    """What is left of visitors who never come back."""
    rows: list[list[str]] = []
    with _log(asked.folder) as folder:
        service = Service(folder, 1)

        def note(what: str) -> None:
            told = service.told()
            numbers = [str(told[name]) for name in ("sessions", "known", "turns", "waiting")]
            rows.append([what, *numbers, f"{told['bytes'] / 1e6:.1f}", f"{service.megabytes():.0f}"])

        async def visit(*, stores: bool) -> None:
            numbers = iter(range(asked.visitors))
            await asyncio.gather(*(_visit(service.socket, numbers, stores=stores) for _ in range(VISITORS)))

        try:
            service.until(lambda told: told["writes"])
            note("before")
            asyncio.run(visit(stores=False))
            note(f"{asked.visitors:,} visitors who store nothing")
            asyncio.run(visit(stores=True))
            note(f"{asked.visitors:,} who store 2 KB for {BRIEF} s")
            seconds = service.until(lambda told: told["known"] == 0 and not _is_cleaned(told), GONE_SECONDS)
            note(f"{seconds:.0f} s later")
        finally:
            service.kill()
    return rows


def run(asked: argparse.Namespace) -> int:
    """Measures; the exit status."""
    if asked.sessions:
        heads = ["sessions", "log, MB", "memory (most), MB", "reads it all, s", "follows, s", "takes over, s"]
        _say(table(heads, [_one_log(asked, sessions) for sessions in (0, asked.sessions)]))
        heads = [
            "meanwhile",
            "longest wait for an answer (99 %), ms",
            "for a turn and a commit",
            "of the box",
            "work, ms",
        ]
        _say(f"\n{table(heads, _pauses(asked))}\n")
    if asked.visitors:
        heads = ["", "sessions", "IDs known", "turns", "waiting", "log, MB", "memory, MB"]
        _say(table(heads, _visitors(asked)))
    return 0
