"""Segments as files on the volume, for those who only read them. The service's own view is service/volume.c.

They are looked up by name, past every cache: a look-up, then a new open, then reads that go around the page cache.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator

from .records import BLOCK, LogError

FOLDER = "log"
"""Where the segments are, below the mount point."""
_NUMBER = re.compile(r"segment-(\d{12})")
_READ_BYTES = 1 << 17
"""So much a mount asks for at once."""


def segment_name(number: int) -> str:
    """What the file of a segment is called."""
    return f"segment-{number:012}"


class Volume:
    """The folder of the log on the mounted volume.

    Args:
        folder: Where the volume is mounted.
    """

    def __init__(self, folder: str) -> None:
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
