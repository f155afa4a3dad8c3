"""How people's tools read the log while somebody writes it. The service reads it in the same way (service/replay.c)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .records import NO_CHAIN, Batch, LogError, Position, Record, batches, first_batch
from .volume import Volume, read_open


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


def _ends(volume: Volume, until: Position, newest: int) -> dict[int, Position]:
    """The segments that count, with the place where each ends: what the headers say."""
    ends = {until.segment: until}
    begin = head_of(volume, until.segment)
    # What counts is told by the newest header; the one in which the place lies may tell of segments that are gone.
    newest_begin = last_head(volume, newest) if newest > until.segment else begin
    first = newest_begin.told.first if newest_begin else until.segment
    while begin is not None and (previous := begin.told.previous) is not None:
        if previous.segment < first:
            break
        ends[previous.segment] = previous
        begin = head_of(volume, previous.segment)
    if min(ends) > first:
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
    ends = _ends(volume, tail.position, newest)
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
