"""The state of the log, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice

from .entries import Entries
from .records import NO_CHAIN, Batch, Head, Kind, LogError, Position, Record, batches, first_batch, record_size
from .volume import Volume, read_open

ENDED_SECONDS = 600
"""So long after its end an id's last version is known: longer than any request that may still store it."""


FORGET_AT_ONCE = 1000
"""So many ids that went with their segments are let go at once; for the others there is time."""

BEGINNING = Position(0, 0, NO_CHAIN)
"""Before everything."""


@dataclass
class State:
    """All sessions up to a place in the log.

    Attributes:
        entries: What is known of each id.
        position: The place.
        segments: The numbers of those that count, in order, with their confirmed bytes.
        time: The log's time, in milliseconds. It goes on while somebody writes.
        next_version: Greater than any version before.
        live: The bytes of the newest record of each id.
        stored: How many sessions there are.
    """

    entries: Entries = field(default_factory=Entries)
    position: Position = BEGINNING
    segments: dict[int, int] = field(default_factory=dict)
    time: int = 0
    next_version: int = 1
    live: int = 0
    stored: int = 0
    _swept: Iterator[bytes] = field(default_factory=lambda: iter(()))

    def apply(self, batch: Batch) -> None:
        """Takes a confirmed batch over."""
        if batch.head is not None:
            self._begin(batch.head, batch.start.segment)
        self.apply_records(batch.records, batch.start.segment)
        self.position = batch.end
        self.segments[batch.end.segment] = batch.end.offset
        self.time = max(self.time, batch.time)

    def _begin(self, head: Head, number: int) -> None:
        self.next_version = max(self.next_version, head.next_version)
        self.segments[number] = 0
        self.segments = {each: size for each, size in self.segments.items() if each >= head.first}
        if head.previous is not None and head.previous.segment in self.segments:
            self.segments[head.previous.segment] = head.previous.offset
        # What lives was copied, so the writer has forgotten the rest, too.
        self.entries.first = max(self.entries.first, head.first)
        self.forget_stale(FORGET_AT_ONCE)

    def forget_stale(self, limit: int | None = None) -> None:
        """Lets the room of so many ids go that are forgotten with their segments."""
        for id in islice(self.entries.stale(), limit):
            self.forget(id)

    def apply_records(self, records: Iterable[Record], segment: int) -> None:
        """Takes confirmed records over. Of an id the greatest version counts; a copy moves it to a newer segment."""
        entries = self.entries
        for record in records:
            before = entries.get(record.id)
            if before is not None and before.version > record.version:
                continue
            self.forget(record.id)
            entries.put(record, segment)
            self.live += record.size
            self.stored += record.kind is Kind.STORED
            self.next_version = max(self.next_version, record.version + 1)

    def forget(self, id: bytes) -> None:
        """Forgets an id."""
        entry = self.entries.pop(id)
        if entry is not None:
            self.live -= record_size(len(id), entry.size)
            self.stored -= entry.kind is Kind.STORED

    def sweep(self, count: int, time: int, is_held: Callable[[bytes], bool] = lambda id: False) -> list[bytes]:
        """Looks at the next `count` ids, forgets those that ended long ago, and tells whose life is over.

        Args:
            count: So many at most, and after the last one none: the next call begins anew.
            time: The log's time.
            is_held: Whether somebody has the session's turn. Then it stays.
        """
        ids = list(islice(self._swept, count))
        if len(ids) < count:
            self._swept = iter(self.entries)
        over: list[bytes] = []
        for id in ids:
            entry = self.entries.get(id)
            if entry is None or (entry.kind is Kind.ENDED and entry.is_over(time) and not is_held(id)):
                self.forget(id)
            elif entry.is_over(time) and not is_held(id):
                over.append(id)
        return over

    @property
    def log_bytes(self) -> int:
        """The confirmed bytes of all segments that count."""
        return sum(self.segments.values())


@dataclass(frozen=True)
class Tail:
    """The end of the log, as somebody finds it who takes it over.

    Attributes:
        position: Up to here it is confirmed: both disks have it, whatever becomes of a brick.
        records: What lies behind, and may or may not be on both.
        time: The log's time.
    """

    position: Position
    records: Sequence[Record]
    time: int


def head_of(volume: Volume, number: int) -> Batch | None:
    """The first batch of a segment; None where there is none yet, or its writer has left none."""
    data = volume.read(number, 0, 1 << 17)
    return first_batch(data, number) or first_batch(volume.read(number), number)


def last_head(volume: Volume, newest: int) -> Batch:
    """The first batch of the newest segment that has one. A writer may have ended before he had committed his."""
    number = newest
    while number > 0:
        if (found := head_of(volume, number)) is not None:
            return found
        number -= 1
    raise LogError("no segment has a beginning")


def tail_of(volume: Volume, newest: int, known: Position) -> Tail:
    """The end of the log, read after the segment that follows `newest` was created.

    Args:
        volume: Where the log is.
        newest: The newest segment but that one.
        known: A place that is known to be confirmed.
    """
    begin = last_head(volume, newest)
    number, head = begin.end.segment, begin.told
    start = known if known.segment == number and known.offset >= begin.end.offset else begin.end
    found = batches(volume.read(number, start.offset), start)
    time = max([begin.time, *(batch.time for batch in found)])
    if found:
        # Its writer has begun the last one when all before it was confirmed.
        return Tail(found[-1].start, found[-1].records, time)
    if start is known:
        return Tail(known, (), time)
    if head.previous is None:
        # The installation waits until it is on all disks.
        return Tail(begin.end, (), time)
    return Tail(head.previous, begin.records, time)


def catch_up(volume: Volume, state: State, until: Position, newest: int) -> State:
    """The state at a confirmed place of the log, from one at an earlier place or, where that leads nowhere, anew.

    Raises:
        LogError: A part of the log is missing or damaged.
    """
    try:
        found = _read_on(volume, state, until, newest)
    except LogError:
        # What was followed may have been another end than the one that counts.
        found = _read_on(volume, State(), until, newest)
    found.forget_stale()
    return found


def _read_on(volume: Volume, state: State, until: Position, newest: int) -> State:
    position = state.position
    ends = _ends(volume, until, newest, position.segment)
    if position == BEGINNING:
        position = Position(min(ends), 0, NO_CHAIN)
    elif position.segment not in ends or position.offset > ends[position.segment].offset:
        raise LogError(f"the log does not lead on from {position.segment}:{position.offset}")
    for number in sorted(number for number in ends if number >= position.segment):
        start = position if number == position.segment else Position(number, 0, NO_CHAIN)
        end = ends[number]
        for batch in batches(volume.read(number, start.offset, end.offset), start):
            state.apply(batch)
            start = batch.end
        if start != end:
            raise LogError(f"segment {number} is damaged at {start.offset}")
    return state


def _ends(volume: Volume, until: Position, newest: int, oldest: int) -> dict[int, Position]:
    """The segments that count down to `oldest`, with the place where each ends: what the headers say."""
    ends = {until.segment: until}
    begin = head_of(volume, until.segment)
    # What counts is told by the newest header; the one in which the place lies may tell of segments that are gone.
    newest_begin = last_head(volume, newest) if newest > until.segment else begin
    first = newest_begin.told.first if newest_begin else until.segment
    while begin is not None and (previous := begin.told.previous) is not None:
        if previous.segment < max(first, oldest):
            break
        ends[previous.segment] = previous
        begin = head_of(volume, previous.segment)
    if min(ends) > max(first, oldest):
        raise LogError(f"segment {first} is missing")
    return ends


@contextmanager
def sessions_at(volume: Volume, known: Position) -> Iterator[tuple[Tail, Iterator[Record]]]:
    """All that is known at a confirmed place of a log that somebody writes, without keeping it in memory.

    Args:
        volume: Where the log is.
        known: A place that is known to be confirmed; the place is that one or a later one.

    Returns:
        The end of the log, and the newest record of each id.

    Raises:
        LogError: A part of the log is missing or damaged, or was removed just now.
    """
    newest = volume.newest(known.segment)
    tail = tail_of(volume, newest, known)
    ends = _ends(volume, tail.position, newest, 0)
    with ExitStack() as opened:
        # Cleaning may remove any of them meanwhile.
        files = {}
        for number in sorted(ends):
            files[number] = volume.open(number)
            opened.callback(os.close, files[number])
        yield tail, _newest_records(files, ends)


def _newest_records(files: Mapping[int, int], ends: Mapping[int, Position]) -> Iterator[Record]:
    versions: dict[bytes, int] = {}
    for record in _records(files, ends):
        versions[record.id] = max(record.version, versions.get(record.id, 0))
    for record in _records(files, ends):
        # A copy has the same version.
        if versions.get(record.id) == record.version:
            del versions[record.id]
            yield record


def _records(files: Mapping[int, int], ends: Mapping[int, Position]) -> Iterator[Record]:
    for number, file in files.items():
        start = Position(number, 0, NO_CHAIN)
        for batch in batches(read_open(file, 0, ends[number].offset), start):
            yield from batch.records
            start = batch.end
        if start != ends[number]:
            raise LogError(f"segment {number} is damaged at {start.offset}")
