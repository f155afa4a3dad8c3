"""How the log's end is found, and what is read of it: by the service that takes it over, and by people's tools."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from scripts.hosts.sessions.session_service.records import (
    BLOCK,
    HEADER,
    NO_CHAIN,
    UPDATES,
    Head,
    Kind,
    LogError,
    Position,
    Record,
    encoded,
    first_batch,
)
from scripts.hosts.sessions.session_service.replay import sessions_at, tail_of
from scripts.hosts.sessions.session_service.volume import Volume
from tests.lab.sessions.log_on_disk import BRICKS, GRAPH, Folder, Programs, ServingNode, run, until

BEGINNING = Position(0, 0, NO_CHAIN)


def _record(id: bytes, version: int, data: bytes = b"x", kind: Kind = Kind.STORED) -> Record:
    return Record(kind, id, version, version.to_bytes(8), 1440, 5, data)


class Written:
    """A segment that is written by hand."""

    def __init__(self, number: int, head: Head, records: tuple[Record, ...] = ()) -> None:
        self.number = number
        self.data, self.end = encoded(HEADER, Position(number, 0, NO_CHAIN), 0, records, head)
        self.ends = [self.end]

    def add(self, *records: Record) -> Written:
        """One commit more."""
        data, self.end = encoded(UPDATES, self.end, 0, records)
        self.data += data
        self.ends.append(self.end)
        return self

    def put(self, folder: Folder, data: bytes | None = None) -> None:
        """Leaves it on the volume."""
        folder.segment(self.number).write_bytes(self.data if data is None else data)


def _head(previous: Position | None, first: int = 1) -> Head:
    return Head(first, previous, 1, "php1", "127.0.0.1:1")


def _begun(folder: Folder) -> Position:
    found = first_batch(folder.segment(1).read_bytes(), 1)
    assert found is not None
    return found.end


class Reader:
    """Whoever reads a log that was written by hand."""

    def __init__(self, folder: Folder, sockets: Path, programs: Programs) -> None:
        self.folder = folder
        self.volume = Volume(str(folder.path))
        self._node = ServingNode(folder, 1, sockets, programs.service())

    def tail(self) -> tuple[Position, list[bytes]]:
        """Where it ends, and what may be on one brick only, as people's tools find it."""
        found = tail_of(self.volume, self.volume.newest(), BEGINNING)
        return found.position, [each.id for each in found.records]

    def known(self, *ids: bytes) -> dict[bytes, tuple[int, bytes]]:
        """Version and data of those of the ids that a service knows that has taken it over; of no others."""
        with sessions_at(self.volume, BEGINNING) as (tail, records):
            told = {each.id: (each.version, each.data) for each in (*records, *tail.records)}
        known: dict[bytes, tuple[int, bytes]] = {}

        async def scenario() -> None:
            await self._node.start()
            try:
                await until(lambda: self._node.writes)
                worker = await self._node.worker()
                for id in ids:
                    if (held := await worker.take(id)).version:
                        known[id] = (held.version, held.data)
                assert self._node.told()["known"] == len(known)
            finally:
                await self._node.kill()

        run(scenario)
        assert told == known, "people's tools read something else"
        return known

    def trouble(self, text: str) -> None:
        """A service does not take it over, and says why."""

        async def scenario() -> None:
            await self._node.start()
            try:
                await until(lambda: self._node.told()["trouble"] == text)
                assert not self._node.writes
            finally:
                await self._node.kill()

        run(scenario)


@pytest.fixture
def reader(folder: Folder, sockets: Path, programs: Programs) -> Reader:
    return Reader(folder, sockets, programs)


def test_who_takes_over_counts_the_last_batch_as_uncertain(folder: Folder, reader: Reader) -> None:
    segment = Written(2, _head(_begun(folder))).add(_record(b"a", 1)).add(_record(b"b", 2))
    segment.put(folder)
    assert reader.tail() == (segment.ends[1], [b"b"])
    assert reader.known(b"a", b"b") == {b"a": (1, b"x"), b"b": (2, b"x")}
    # It is written anew in the successor's own segment.
    written = first_batch(folder.segment(3).read_bytes(), 3)
    assert written is not None and [each.id for each in written.records] == [b"b"]
    assert written.told.previous == segment.ends[1]


def test_a_header_alone_is_uncertain_too_and_what_it_took_over_goes_on(folder: Folder, reader: Reader) -> None:
    before = Written(2, _head(_begun(folder))).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder)
    Written(3, _head(before.ends[1]), (_record(b"b", 2),)).put(folder)
    assert reader.tail() == (before.ends[1], [b"b"])
    assert sorted(reader.known(b"a", b"b")) == [b"a", b"b"]


def test_what_a_header_ends_is_not_read(folder: Folder, reader: Reader) -> None:
    """The batch behind the end may be on one brick, and be gone the next time."""
    before = Written(2, _head(_begun(folder))).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder)
    Written(3, _head(before.ends[1]), (_record(b"c", 3),)).add(_record(b"d", 4)).put(folder)
    assert sorted(reader.known(b"a", b"b", b"c", b"d")) == [b"a", b"c", b"d"]


def test_a_segment_whose_writer_has_left_nothing_is_passed_over(folder: Folder, reader: Reader) -> None:
    before = Written(2, _head(_begun(folder))).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder)
    for number, left in ((3, b""), (4, bytes(BLOCK)), (5, b"PCLS" + bytes(2 * BLOCK))):
        folder.segment(number).write_bytes(left)
    assert reader.tail() == (before.ends[1], [b"b"])
    Written(6, _head(before.ends[1]), (_record(b"b", 2),)).add().put(folder)
    assert sorted(reader.known(b"a", b"b")) == [b"a", b"b"]


def test_a_missing_segment_is_an_error_and_no_new_beginning(folder: Folder, reader: Reader) -> None:
    before = Written(2, _head(_begun(folder))).add(_record(b"a", 1))
    Written(3, _head(before.end)).add(_record(b"b", 2)).put(folder)
    with pytest.raises(LogError, match="segment 2 is missing"), sessions_at(reader.volume, BEGINNING):
        pass
    reader.trouble("segment 2 is missing")
    for each in folder.numbers():
        folder.segment(each).unlink()
    with pytest.raises(LogError, match="the volume has no log"):
        reader.volume.newest()
    reader.trouble("the volume has no log")


def test_a_damaged_segment_is_an_error(folder: Folder, reader: Reader) -> None:
    before = Written(2, _head(_begun(folder))).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder, before.data[: BLOCK + 100] + b"?" + before.data[BLOCK + 101 :])
    Written(3, _head(before.end)).add(_record(b"c", 3)).put(folder)
    with (
        pytest.raises(LogError, match="segment 2 is damaged at 4096"),
        sessions_at(reader.volume, BEGINNING) as (_, records),
    ):
        list(records)
    reader.trouble("segment 2 is damaged at 4096")


def test_damage_before_what_was_confirmed_is_no_end(folder: Folder, reader: Reader) -> None:
    newest = Written(2, _head(_begun(folder))).add(_record(b"a", 1)).add(_record(b"b", 2)).add(_record(b"c", 3))
    newest.put(folder, newest.data[: 2 * BLOCK] + bytes(BLOCK) + newest.data[3 * BLOCK :])
    with pytest.raises(LogError, match="segment 2 is damaged at 8192"):
        reader.tail()
    reader.trouble("segment 2 is damaged at 8192")


def test_old_names_that_come_back_do_not_count(folder: Folder, reader: Reader) -> None:
    old = Written(2, _head(_begun(folder))).add(_record(b"a", 1, b"old"))
    old.put(folder)
    kept = Written(3, _head(old.end)).add(_record(b"a", 2, b"new"))
    kept.put(folder)
    Written(4, _head(kept.end, first=3)).add(_record(b"b", 3)).put(folder)
    assert reader.known(b"a", b"b") == {b"a": (2, b"new"), b"b": (3, b"x")}


def test_a_copy_changes_the_place_and_nothing_else(folder: Folder, reader: Reader) -> None:
    old = Written(2, _head(_begun(folder))).add(_record(b"a", 1), _record(b"b", 2))
    old.put(folder)
    Written(3, _head(old.end)).add(_record(b"a", 1), _record(b"b", 1, b"?")).add(_record(b"c", 3)).put(folder)
    assert reader.known(b"a", b"b", b"c") == {b"a": (1, b"x"), b"b": (2, b"x"), b"c": (3, b"x")}


@pytest.mark.parametrize("seed", range(12))
def test_what_is_taken_over_is_what_was_confirmed_and_perhaps_the_last_batch(
    seed: int, folder: Folder, reader: Reader
) -> None:
    """Segments with random ends, torn or not: whoever reads has all but the last commit, in order, or all."""
    draw = random.Random(seed)  # noqa: S311
    tail: tuple[Record, ...] = ()
    applied: list[int] = []
    position, version, number = _begun(folder), 1, 1
    for _ in range(draw.randrange(1, 5)):
        number += draw.choice((1, 1, 2))
        if not folder.segment(number - 1).exists():
            folder.segment(number - 1).write_bytes(draw.choice((b"", bytes(BLOCK), b"PCLS" * 1024)))
        segment = Written(number, _head(position), tuple(tail))
        applied += [record.version for record in tail]
        sure, last = position, tail
        for _ in range(draw.randrange(4)):
            sure, last = segment.end, (_record(b"%d" % version, version),)
            segment.add(*last)
            applied.append(version)
            version += 1
        data = segment.data
        if draw.random() < 0.5 and last and segment.end.offset > BLOCK:
            data = data[: segment.ends[-2].offset + draw.randrange(72)]
            applied.pop()
            sure = segment.ends[-2]
            last = ()
            # Without what was torn, the batch before is the last one.
            if len(segment.ends) > 2:
                sure, last = segment.ends[-3], (_record(b"%d" % (version - 2), version - 2),)
            else:
                sure, last = position, tuple(tail)
            version = version - 1
        segment.put(folder, data)
        found = tail_of(reader.volume, number, BEGINNING)
        assert (found.position, tuple(found.records)) == (sure, last)
        position, tail = found.position, tuple(found.records)
        applied = applied[: len(applied) - len(tail)]
    versions = sorted({*applied, *(record.version for record in tail)})
    known = reader.known(*(b"%d" % each for each in versions))
    assert known == {b"%d" % each: (each, b"x") for each in versions}


def test_a_segment_is_looked_for_in_the_mount_that_it_was_created_in(
    folder: Folder, sockets: Path, programs: Programs
) -> None:
    """`umount --lazy` leaves a client that goes on as long as anything of it is open."""

    async def scenario() -> None:
        node = await ServingNode(folder, 1, sockets, programs.service()).start()
        try:
            await until(lambda: node.writes)
            worker = await node.worker()
            version = await worker.store(b"s", (await worker.take(b"s")).version, b"1")
            new = folder.path / "graphs.new"
            shutil.copytree(folder.path / ".meta" / "graphs", new, symlinks=True)
            (folder.path / ".meta" / "graphs").rename(folder.path / ".meta" / "old")
            for brick in BRICKS:
                (folder.path / ".meta" / "old" / GRAPH / brick / "private").write_text("connected = 1\n")
            new.rename(folder.path / ".meta" / "graphs")
            assert await worker.store(b"s", version, b"2") > version
        finally:
            await node.kill()

    run(scenario)
