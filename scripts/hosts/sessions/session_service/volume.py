"""Segments as files on the volume, and whether the bricks still have what is written to one.

What decides is asked by name, past every cache: a look-up, then a new open, then reads that go around the page cache.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .records import BLOCK, LogError

FOLDER = "log"
"""Where the segments are, below the mount point."""
_NUMBER = re.compile(r"segment-(\d{12})")
_READ_BYTES = 1 << 17
"""So much a mount asks for at once."""
_OPEN_FILE = re.compile(rb"fd\.\d+\.remote_fd = (-?\d+)\n((?:(?!fd\.\d+\.)[^\n]*\n)*)")
_HAS_LOCK = b"granted-posix-lock"
_CLIENT = re.compile(r"-client-\d+$")
_AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def segment_name(number: int) -> str:
    """What the file of a segment is called."""
    return f"segment-{number:012}"


class NotWholeError(OSError):
    """A brick, or the mount, has lost the segment's file since it was opened."""


@dataclass(frozen=True)
class Bricks:
    """What the mount's client says of its bricks.

    Attributes:
        graph: The name of the client's graph: another one has opened all files anew.
        connected: The clients that are connected to their bricks.
        good: Those whose brick has the locked file of this service open, and its lock.
    """

    graph: str
    connected: frozenset[str]
    good: frozenset[str]


class Mount:
    """The client of the mounted volume, as `.meta` shows it. It answers by itself and asks no brick.

    Args:
        folder: Where the volume is mounted. Another mount may take its place.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, ".meta", "graphs")
        self._graphs = -1
        self._graph = ""
        self._clients: dict[str, int] = {}

    @property
    def brick_count(self) -> int:
        """How many bricks the volume has. The arbiter is none: it holds no data."""
        return len(self._clients)

    def bricks(self) -> Bricks:
        """What there is now.

        Raises:
            OSError: The volume is not mounted, or by another client than before.
        """
        try:
            return self._look()
        except OSError:
            self.close()
            raise

    def _look(self) -> Bricks:
        if self._graphs < 0:
            self._graphs = os.open(self._folder, _AS_FOLDER)
        graph = os.readlink("active", dir_fd=self._graphs)
        if graph != self._graph:
            self._turn_to(graph)
        told = {name: self._told(client) for name, client in self._clients.items()}
        return Bricks(
            graph,
            frozenset(name for name, text in told.items() if b"\nconnected = 1\n" in text),
            frozenset(name for name, text in told.items() if _has_file(text)),
        )

    def _turn_to(self, graph: str) -> None:
        self._forget_clients()
        folder = os.open(graph, _AS_FOLDER, dir_fd=self._graphs)
        try:
            names = sorted(name for name in os.listdir(folder) if _CLIENT.search(name))
            self._clients = {name: os.open(name, _AS_FOLDER, dir_fd=folder) for name in names}
        finally:
            os.close(folder)
        self._graph = graph

    def _forget_clients(self) -> None:
        for client in self._clients.values():
            os.close(client)
        self._graph, self._clients = "", {}

    def close(self) -> None:
        """Lets go of the mount, until it is asked again."""
        self._forget_clients()
        if self._graphs >= 0:
            os.close(self._graphs)
        self._graphs = -1

    @staticmethod
    def _told(client: int) -> bytes:
        file = os.open("private", os.O_RDONLY | os.O_CLOEXEC, dir_fd=client)
        try:
            # It comes as a whole, and has a few lines for each open file of the mount.
            return os.read(file, _READ_BYTES)
        finally:
            os.close(file)


def _has_file(text: bytes) -> bool:
    """Whether a brick has a file of this mount open and locked. Nobody else locks files of this volume here."""
    return any(int(found[1]) >= 0 and _HAS_LOCK in found[2] for found in _OPEN_FILE.finditer(text))


class Segment:
    """A segment that this service has created, and alone writes."""

    def __init__(self, file: int, number: int, mount: Mount) -> None:
        self.number = number
        self._file = file
        self._mount = mount
        # A file that had a lock and lost a connection is bad there for ever: with it a loss that is over is seen, too.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.opened = mount.bricks()
        if not self.opened.good:
            raise NotWholeError(errno.EIO, f"no brick has segment {number} open")

    def put(self, data: bytes, offset: int) -> None:
        """Writes there, and returns when all bricks that count have it on their disks.

        Raises:
            OSError: It may be on all of them, or some, or none. The segment is over.
        """
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            if written % BLOCK:
                raise OSError(errno.ENOSPC, "only a part was written")
            view, offset = view[written:], offset + written
        os.fdatasync(self._file)

    def check(self) -> None:
        """Asked after each commit, before it is answered.

        Raises:
            NotWholeError: A brick on which the file was good when it was opened does not have it any more, or it was
                opened anew.
        """
        now = self._mount.bricks()
        if now.graph != self.opened.graph or not self.opened.good <= now.good:
            left = ", ".join(sorted(now.good)) or "no brick"
            raise NotWholeError(errno.EIO, f"segment {self.number} is not whole: {left} has it")

    def is_everywhere(self) -> bool:
        """Whether it is good on every brick. Then a look-up asks all of them, and what they say decides."""
        return len(self.opened.good) == self._mount.brick_count

    def misses_brick(self) -> bool:
        """Whether a brick is connected that does not have this file: a new segment would be on it."""
        now = self._mount.bricks()
        return not now.connected <= now.good & self.opened.good

    def close(self) -> None:
        """Lets go of it."""
        # What was not confirmed is nobody's.
        with contextlib.suppress(OSError):
            os.close(self._file)


class Volume:
    """The folder of the log on the mounted volume.

    Args:
        folder: Where the volume is mounted.
    """

    def __init__(self, folder: str) -> None:
        self.mount = Mount(folder)
        self._folder = os.path.join(folder, FOLDER)

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, segment_name(number))

    def numbers(self) -> list[int]:
        """The numbers of the segments that a listing shows, in order. It may show removed ones, and lack the last."""
        os.stat(self._folder)
        return sorted(int(found[1]) for name in os.listdir(self._folder) if (found := _NUMBER.fullmatch(name)))

    def exists(self, number: int) -> bool:
        """Whether there is a segment of this number: a look-up that asks the bricks."""
        try:
            os.stat(self._path(number))
        except FileNotFoundError:
            return False
        return True

    def newest(self, known: int = 0) -> int:
        """The number of the newest segment.

        Args:
            known: One that is known to be, or to have been, a segment.

        Raises:
            LogError: There is none. The installation creates the first one; nobody else does.
        """
        number = max([known, *self.numbers()])
        if number == 0:
            raise LogError("the volume has no log")
        while self.exists(number + 1):
            number += 1
        return number

    def create(self, number: int) -> Segment:
        """Creates a segment, which decides who writes after the one before.

        Raises:
            FileExistsError: Somebody else has.
        """
        file = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # One that was taken away while something of it was open lives on, beside the one that took its place.
        self.mount.close()
        try:
            return Segment(file, number, self.mount)
        except BaseException:
            os.close(file)
            raise

    def read(self, number: int, offset: int = 0, end: int | None = None) -> bytes:
        """A segment's bytes from a whole block on, to its end or to another block.

        Raises:
            LogError: There is no such segment, though the log needs it.
        """
        file = self.open(number)
        try:
            return read_open(file, offset, end)
        finally:
            os.close(file)

    def open(self, number: int) -> int:
        """Opens a segment for `read_open`. It can be read from then on, removed or not.

        Raises:
            LogError: There is no such segment, though the log needs it.
        """
        try:
            os.stat(self._path(number))
            return os.open(self._path(number), os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LogError(f"segment {number} is missing") from None

    def remove(self, number: int) -> None:
        """Removes a segment that does not count any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(number))

    def room(self) -> tuple[int, int]:
        """Bytes of the bricks that are free, and in all."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def read_open(file: int, offset: int = 0, end: int | None = None) -> bytes:
    """An open segment's bytes from a whole block on, to its end or to another block."""
    return b"".join(_blocks(file, offset, end))


def _blocks(file: int, offset: int, end: int | None) -> Iterator[bytes]:
    with mmap.mmap(-1, _READ_BYTES) as buffer:
        while end is None or offset < end:
            count = os.preadv(file, [buffer], offset)
            if count == 0:
                return
            wanted = count if end is None else min(count, end - offset)
            yield buffer[:wanted]
            offset += count
            if count % BLOCK:
                return
