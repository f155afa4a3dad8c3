"""What is known of each id, in little memory and without long pauses.

A million sessions in one dictionary stop everything for half a second whenever it grows, and Python's collector of
cycles looks at each object that refers to others. So there are many small dictionaries, and an entry is bytes alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .records import Kind, Record

SHARDS = 1024
_PACKED = struct.Struct(">QBQ8sIQ")
_SEGMENT = struct.Struct(">Q")


class Entry:
    """The newest record of an id, and which segment has it."""

    __slots__ = ("_packed", "changed", "kind", "lifetime", "request", "segment", "version")

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self.segment, kind, self.version, self.request, self.lifetime, self.changed = _PACKED.unpack_from(packed)
        self.kind = Kind(kind)

    @property
    def data(self) -> bytes:
        """What PHP has stored."""
        return self._packed[_PACKED.size :]

    @property
    def size(self) -> int:
        """The bytes of that."""
        return len(self._packed) - _PACKED.size

    def is_over(self, time: int) -> bool:
        """Whether its life is over."""
        return bool(time >= self.changed + self.lifetime * 1000)

    def record(self, id: bytes) -> Record:
        """The record of it."""
        return Record(self.kind, id, self.version, self.request, self.lifetime, self.changed, self.data)


class Entries:
    """The entries by id.

    Attributes:
        first: Ids whose record lies in a segment before this one are forgotten.
    """

    def __init__(self) -> None:
        self.first = 0
        # In each those come first whose records are the oldest in the log.
        self._shards: list[dict[bytes, bytes]] = [{} for _ in range(SHARDS)]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __iter__(self) -> Iterator[bytes]:
        """The ids. They may come and go meanwhile."""
        for shard in self._shards:
            yield from list(shard)

    def _shard(self, id: bytes) -> dict[bytes, bytes]:
        return self._shards[hash(id) % SHARDS]

    def get(self, id: bytes) -> Entry | None:
        """What is known of an id."""
        packed = self._shard(id).get(id)
        if packed is None:
            return None
        entry = Entry(packed)
        return entry if entry.segment >= self.first else None

    def put(self, record: Record, segment: int) -> None:
        """Takes a record over that the newest segment has, of an id that was not known or is popped."""
        kind, id, version, request, lifetime, changed, data = record
        self._shard(id)[id] = _PACKED.pack(segment, kind, version, request, lifetime, changed) + data

    def pop(self, id: bytes) -> Entry | None:
        """Forgets an id; gives what was known, forgotten or not."""
        packed = self._shard(id).pop(id, None)
        return Entry(packed) if packed is not None else None

    def oldest_segment(self) -> int | None:
        """The segment of the oldest record."""
        heads = (next(iter(shard.values())) for shard in self._shards if shard)
        oldest = min((_segment(packed) for packed in heads), default=None)
        return oldest if oldest is None else max(oldest, self.first)

    def of_segment(self, number: int) -> Iterator[tuple[bytes, Entry]]:
        """Those whose records this segment has, which is the oldest."""
        for shard in self._shards:
            for id, packed in shard.items():
                if _segment(packed) != number:
                    break
                yield id, Entry(packed)

    def stale(self) -> Iterator[bytes]:
        """The ids that are forgotten, and still take room."""
        for shard in self._shards:
            while shard:
                id, packed = next(iter(shard.items()))
                if _segment(packed) >= self.first:
                    break
                yield id


def _segment(packed: bytes) -> int:
    (number,) = _SEGMENT.unpack_from(packed)
    return int(number)
