"""What the log consists of. A segment is a file of batches, each of them one commit; a batch holds records.

Each batch is chained to the one before it by a hash, tells where it lies, and up to where all was confirmed when it was
written. Numbers are big-endian. Batches fill whole blocks, so that they can be read past the page cache.
"""

from __future__ import annotations

import enum
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

BLOCK = 4096
CHAIN_BYTES = 32
NO_CHAIN = bytes(CHAIN_BYTES)
NO_REQUEST = bytes(8)

_RECORD = struct.Struct(">BBIQ8sIQ")
_BATCH = struct.Struct(">4sIQQQQ32s")
_LENGTH = struct.Struct(">I")

FORMAT = 1
"""Of the log and of what services say. One that is greater is refused."""
UPDATES, HEADER = b"PCLB", b"PCLS"
"""Kinds of batches: updates; the first of a segment, with what its writer has taken over."""


class LogError(Exception):
    """The log is not what it has to be. Never a reason to begin a new one."""


class Kind(enum.IntEnum):
    """What is known of an id."""

    ENDED = 0
    STORED = 1
    REPLACED = 2


class Record(NamedTuple):
    """One update of one session.

    Attributes:
        kind: What the session is from then on.
        id: Its id.
        version: Larger than that of any earlier update of any session. A copy that cleaning makes keeps it.
        request: By what its writer knows a request that comes again.
        lifetime: Seconds after `changed` at which it expires.
        changed: When it was stored, in the log's own milliseconds.
        data: What PHP has stored.
    """

    kind: Kind
    id: bytes
    version: int
    request: bytes
    lifetime: int
    changed: int
    data: bytes

    def encoded(self) -> bytes:
        """Its bytes in a batch."""
        head = _RECORD.pack(
            self.kind, len(self.id), len(self.data), self.version, self.request, self.lifetime, self.changed
        )
        return b"".join((head, self.id, self.data))

    @property
    def size(self) -> int:
        """The bytes that it takes in a batch."""
        return record_size(len(self.id), len(self.data))


def record_size(id_length: int, data_length: int) -> int:
    """The bytes that a record takes in a batch."""
    return _RECORD.size + id_length + data_length


def decoded(payload: bytes) -> Iterator[Record]:
    """The records of a batch, whose hash was checked."""
    at, end = 0, len(payload)
    while at < end:
        kind, id_length, data_length, version, request, lifetime, changed = _RECORD.unpack_from(payload, at)
        at += _RECORD.size
        data_at = at + id_length
        at_end = data_at + data_length
        yield Record(Kind(kind), payload[at:data_at], version, request, lifetime, changed, payload[data_at:at_end])
        at = at_end


@dataclass(frozen=True)
class Position:
    """A place between two batches of the log: all before it is confirmed.

    Attributes:
        segment: The number of a segment.
        offset: Where in it.
        chain: The hash of the batch that ends there.
    """

    segment: int
    offset: int
    chain: bytes


@dataclass(frozen=True)
class Head:
    """What the first batch of a segment tells.

    Attributes:
        first: The oldest segment that still counts.
        previous: Where the part of the log ends that was confirmed before this segment; None in the very first one.
        next_version: Greater than any version before.
        writer: The name of the node that writes it.
        address: Where that one is asked, `HOST:PORT`.
    """

    first: int
    previous: Position | None
    next_version: int
    writer: str
    address: str

    def encoded(self) -> bytes:
        """Its bytes before the records of the batch."""
        previous = self.previous
        text = json.dumps(
            {
                "format": FORMAT,
                "first": self.first,
                "previous": previous and [previous.segment, previous.offset, previous.chain.hex()],
                "next_version": self.next_version,
                "writer": self.writer,
                "address": self.address,
            }
        ).encode()
        return _LENGTH.pack(len(text)) + text


def _head(payload: bytes) -> tuple[Head, bytes]:
    (length,) = _LENGTH.unpack_from(payload)
    told = json.loads(payload[_LENGTH.size : _LENGTH.size + length])
    if (format := told.get("format", 1)) > FORMAT:
        raise LogError(f"the log has format {format}, and this release knows none above {FORMAT}")
    previous = told["previous"] and Position(
        told["previous"][0], told["previous"][1], bytes.fromhex(told["previous"][2])
    )
    head = Head(told["first"], previous, told["next_version"], told["writer"], told["address"])
    return head, payload[_LENGTH.size + length :]


@dataclass(frozen=True)
class Batch:
    """One commit.

    Attributes:
        kind: `UPDATES` or `HEADER`.
        start: Where it begins, and the hash before it.
        end: Where it ends, and its own hash.
        confirmed: The offset in its segment before which all was confirmed when it was written.
        time: The log's time, in milliseconds.
        head: What a segment's first batch tells.
        records: The updates.
    """

    kind: bytes
    start: Position
    end: Position
    confirmed: int
    time: int
    head: Head | None
    records: tuple[Record, ...]

    @property
    def told(self) -> Head:
        """What it tells of its segment.

        Raises:
            LogError: It is not the first one.
        """
        if self.head is None:
            raise LogError(f"segment {self.start.segment} does not begin at {self.start.offset}")
        return self.head


def encoded(
    kind: bytes, start: Position, time: int, records: Iterable[Record], head: Head | None = None
) -> tuple[bytes, Position]:
    """The bytes of a batch that begins at `start`, before which all is confirmed, and where it ends."""
    payload = b"".join([*([head.encoded()] if head else []), *(record.encoded() for record in records)])
    text = _BATCH.pack(kind, len(payload), start.segment, start.offset, start.offset, time, NO_CHAIN)
    chain = hashlib.sha256(b"".join((start.chain, text, payload))).digest()
    size = -(-(_BATCH.size + len(payload)) // BLOCK) * BLOCK
    padding = bytes(size - _BATCH.size - len(payload))
    data = b"".join((text[:-CHAIN_BYTES], chain, payload, padding))
    return data, Position(start.segment, start.offset + size, chain)


def batch_at(data: bytes, at: int, start: Position) -> Batch | None:
    """The batch that begins there in `data`, at `start` in the log; None if there is no whole and true one.

    The chain before a segment's first batch is the one that its own header tells.
    """
    if len(data) < at + _BATCH.size:
        return None
    kind, length, segment, offset, confirmed, time, chain = _BATCH.unpack_from(data, at)
    payload = data[at + _BATCH.size : at + _BATCH.size + length]
    if kind not in (UPDATES, HEADER) or len(payload) != length or (segment, offset) != (start.segment, start.offset):
        return None
    text = data[at : at + _BATCH.size - CHAIN_BYTES] + NO_CHAIN
    if hashlib.sha256(b"".join((start.chain, text, payload))).digest() != chain:
        return None
    head = None
    if kind == HEADER:
        head, payload = _head(payload)
    size = -(-(_BATCH.size + length) // BLOCK) * BLOCK
    end = Position(segment, offset + size, chain)
    return Batch(kind, start, end, confirmed, time, head, tuple(decoded(payload)))


def batches(data: bytes, start: Position) -> list[Batch]:
    """The batches of a segment from `start` on, whose bytes `data` is, up to the first that is not whole and true.

    Raises:
        LogError: A batch behind that one says that it was confirmed. So it was damaged later, and is no end.
    """
    found: list[Batch] = []
    at = 0
    while batch := batch_at(data, at, start):
        found.append(batch)
        at += batch.end.offset - start.offset
        start = batch.end
    for later in range(at + BLOCK, len(data), BLOCK):
        kind, _, segment, offset, confirmed, _, _ = _BATCH.unpack_from(data.ljust(later + BLOCK, b"\0"), later)
        is_one = kind == UPDATES and (segment, offset) == (start.segment, start.offset + later - at)
        if is_one and confirmed > start.offset:
            raise LogError(f"segment {start.segment} is damaged at {start.offset}")
    return found


def first_batch(data: bytes, number: int) -> Batch | None:
    """The first batch of a segment, which begins with `data`; None where its writer has left none."""
    found = batch_at(data, 0, Position(number, 0, NO_CHAIN))
    return found if found is not None and found.kind == HEADER else None
