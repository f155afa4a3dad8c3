"""Batches and records of the session log, and how its end is found."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from tests.unit.sessions.log_on_disk import BRICKS, GRAPH, Folder

from scripts.hosts.sessions.session_service import replay
from scripts.hosts.sessions.session_service.records import (
    BLOCK,
    HEADER,
    NO_CHAIN,
    UPDATES,
    Batch,
    Head,
    Kind,
    LogError,
    Position,
    Record,
    batch_at,
    batches,
    encoded,
    first_batch,
)
from scripts.hosts.sessions.session_service.replay import BEGINNING, State, catch_up, last_head, tail_of


def _record(id: bytes, version: int, data: bytes = b"x", kind: Kind = Kind.STORED) -> Record:
    return Record(kind, id, version, version.to_bytes(8), 1440, 5, data)


def _known(state: State) -> list[Record]:
    """The newest record of each id, in order of versions."""
    records = [entry.record(id) for id in state.entries if (entry := state.entries.get(id)) is not None]
    return sorted(records, key=lambda record: record.version)


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


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "volume")


def _begun(folder: Folder) -> Position:
    found = last_head(folder.volume(), 1)
    return found.end


def test_batches_come_back_as_they_were() -> None:
    records = (_record(b"a", 1), _record(b"b", 2, b"", Kind.ENDED), _record(b"c" * 250, 3, bytes(100_000)))
    data, end = encoded(UPDATES, Position(7, 4 * BLOCK, b"h" * 32), 99, records)
    found = batch_at(data, 0, Position(7, 4 * BLOCK, b"h" * 32))
    assert found is not None and found.records == records and found.end == end and found.time == 99
    assert len(data) % BLOCK == 0 and end.offset == 4 * BLOCK + len(data) and found.confirmed == 4 * BLOCK


@pytest.mark.parametrize(
    "start", [Position(8, 4 * BLOCK, b"h" * 32), Position(7, 5 * BLOCK, b"h" * 32), Position(7, 4 * BLOCK, b"g" * 32)]
)
def test_a_batch_is_none_elsewhere_or_after_another_one(start: Position) -> None:
    data, _ = encoded(UPDATES, Position(7, 4 * BLOCK, b"h" * 32), 99, [_record(b"a", 1)])
    assert batch_at(data, 0, start) is None


def test_each_byte_counts() -> None:
    start = Position(7, 0, NO_CHAIN)
    data, _ = encoded(UPDATES, start, 99, [_record(b"a", 1, b"hello")])
    used = len(data.rstrip(b"\0"))
    for at in range(0, used, 3):
        spoilt = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert batch_at(spoilt, 0, start) is None, at


def test_an_end_is_no_damage_and_damage_is_no_end() -> None:
    segment = Written(3, _head(None)).add(_record(b"a", 1)).add(_record(b"b", 2)).add(_record(b"c", 3))
    begin = first_batch(segment.data, 3)
    assert begin is not None
    rest = segment.data[BLOCK:]
    assert [each.records[0].id for each in batches(rest, begin.end)] == [b"a", b"b", b"c"]
    torn = rest[: 2 * BLOCK] + bytes(BLOCK)
    assert [each.records[0].id for each in batches(torn, begin.end)] == [b"a", b"b"]
    # c says that b was confirmed.
    with pytest.raises(LogError, match="segment 3 is damaged at 8192"):
        batches(rest[:BLOCK] + bytes(BLOCK) + rest[2 * BLOCK :], begin.end)


def test_who_takes_over_counts_the_last_batch_as_uncertain(folder: Folder) -> None:
    begin = _begun(folder)
    segment = Written(2, _head(begin)).add(_record(b"a", 1)).add(_record(b"b", 2))
    segment.put(folder)
    tail = tail_of(folder.volume(), 2, BEGINNING)
    assert tail.position == segment.ends[1] and [each.id for each in tail.records] == [b"b"]


def test_a_header_alone_is_uncertain_too_and_what_it_took_over_goes_on(folder: Folder) -> None:
    begin = _begun(folder)
    before = Written(2, _head(begin)).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder)
    Written(3, _head(before.ends[1]), (_record(b"b", 2),)).put(folder)
    tail = tail_of(folder.volume(), 3, BEGINNING)
    assert tail.position == before.ends[1] and [each.id for each in tail.records] == [b"b"]
    state = catch_up(folder.volume(), State(), tail.position, 3)
    assert list(state.entries) == [b"a"] and state.position == before.ends[1]


def test_what_a_header_ends_is_not_read(folder: Folder) -> None:
    """The batch behind the end may be on one brick, and be gone the next time."""
    begin = _begun(folder)
    before = Written(2, _head(begin)).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder)
    after = Written(3, _head(before.ends[1]), (_record(b"c", 3),)).add(_record(b"d", 4))
    after.put(folder)
    state = catch_up(folder.volume(), State(), after.end, 3)
    assert sorted(state.entries) == [b"a", b"c", b"d"] and state.next_version == 5


def test_a_segment_whose_writer_has_left_nothing_is_passed_over(folder: Folder) -> None:
    begin = _begun(folder)
    before = Written(2, _head(begin)).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder)
    for number, left in ((3, b""), (4, bytes(BLOCK)), (5, b"PCLS" + bytes(2 * BLOCK))):
        folder.segment(number).write_bytes(left)
    tail = tail_of(folder.volume(), 5, BEGINNING)
    assert tail.position == before.ends[1] and [each.id for each in tail.records] == [b"b"]
    after = Written(6, _head(tail.position), tuple(tail.records)).add()
    after.put(folder)
    assert sorted(catch_up(folder.volume(), State(), after.end, 6).entries) == [b"a", b"b"]


def test_a_missing_segment_is_an_error_and_no_new_beginning(folder: Folder) -> None:
    begin = _begun(folder)
    before = Written(2, _head(begin)).add(_record(b"a", 1))
    after = Written(3, _head(before.end)).add(_record(b"b", 2))
    after.put(folder)
    with pytest.raises(LogError, match="segment 2 is missing"):
        catch_up(folder.volume(), State(), after.end, 3)
    for each in folder.numbers():
        folder.segment(each).unlink()
    with pytest.raises(LogError, match="the volume has no log"):
        folder.volume().newest()


def test_a_damaged_segment_is_an_error(folder: Folder) -> None:
    begin = _begun(folder)
    before = Written(2, _head(begin)).add(_record(b"a", 1)).add(_record(b"b", 2))
    before.put(folder, before.data[: BLOCK + 100] + b"?" + before.data[BLOCK + 101 :])
    after = Written(3, _head(before.end)).add(_record(b"c", 3))
    after.put(folder)
    with pytest.raises(LogError, match="segment 2 is damaged at 4096"):
        catch_up(folder.volume(), State(), after.end, 3)


def test_old_names_that_come_back_do_not_count(folder: Folder) -> None:
    begin = _begun(folder)
    old = Written(2, _head(begin)).add(_record(b"a", 1, b"old"))
    old.put(folder)
    kept = Written(3, _head(old.end)).add(_record(b"a", 2, b"new"))
    kept.put(folder)
    newest = Written(4, _head(kept.end, first=3)).add(_record(b"b", 3))
    newest.put(folder)
    state = catch_up(folder.volume(), State(), newest.end, 4)
    assert {record.id: record.data for record in _known(state)} == {b"a": b"new", b"b": b"x"}
    assert list(state.segments) == [3, 4] and folder.volume().newest() == 4


def test_what_the_writer_has_forgotten_goes_with_its_segment(folder: Folder) -> None:
    """Who follows keeps ends of sessions longer; they must not make him look for segments that are gone."""
    begin = _begun(folder)
    old = Written(2, _head(begin)).add(_record(b"a", 1, b"", Kind.ENDED), _record(b"b", 2))
    kept = Written(3, _head(old.end)).add(_record(b"b", 2))
    newest = Written(4, _head(kept.end, first=3))
    for each in (old, kept, newest):
        each.put(folder)
    state = catch_up(folder.volume(), State(), kept.end, 3)
    assert sorted(state.entries) == [b"a", b"b"]
    folder.segment(2).unlink()
    state = catch_up(folder.volume(), state, newest.end, 4)
    assert list(state.entries) == [b"b"] and state.live == _record(b"b", 2).size


def test_a_copy_changes_the_place_and_nothing_else() -> None:
    state = State()
    for number, records in ((1, [_record(b"a", 1), _record(b"b", 2)]), (2, [_record(b"a", 1), _record(b"b", 1, b"?")])):
        state.apply_records(records, number)
    assert [record.version for record in _known(state)] == [1, 2]
    assert [id for id, _ in state.entries.of_segment(1)] == [b"b"] and state.entries.oldest_segment() == 1
    assert state.stored == 2 and state.live == _record(b"a", 1).size + _record(b"b", 2).size


def test_what_is_taken_over_is_what_was_confirmed_and_perhaps_the_last_batch(folder: Folder) -> None:
    """Segments with random ends, torn or not: whoever reads has all but the last commit, in order, or all."""
    draw = random.Random(19)  # noqa: S311
    for _ in range(60):
        for each in folder.numbers()[1:]:
            folder.segment(each).unlink()
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
            found = tail_of(folder.volume(), number, BEGINNING)
            assert (found.position, tuple(found.records)) == (sure, last)
            position, tail = found.position, tuple(found.records)
            applied = applied[: len(applied) - len(tail)]
        state = catch_up(folder.volume(), State(), position, number)
        state.apply_records(tail, number + 1)
        assert [each.version for each in _known(state)] == sorted([*applied, *(record.version for record in tail)])


def test_a_segment_is_looked_for_in_the_mount_that_it_was_created_in(folder: Folder) -> None:
    """`umount --lazy` leaves a client that goes on as long as anything of it is open."""
    volume = folder.volume()
    volume.create(2).check()
    new = folder.path / "graphs.new"
    shutil.copytree(folder.path / ".meta" / "graphs", new, symlinks=True)
    (folder.path / ".meta" / "graphs").rename(folder.path / ".meta" / "old")
    for brick in BRICKS:
        (folder.path / ".meta" / "old" / GRAPH / brick / "private").write_text("connected = 1\n")
    new.rename(folder.path / ".meta" / "graphs")
    volume.create(3).check()


def test_what_was_forgotten_with_its_segment_is_let_go_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows may have a million of them."""
    monkeypatch.setattr(replay, "FORGET_AT_ONCE", 3)
    state = State()
    state.apply_records([_record(b"%d" % number, number + 1, b"", Kind.ENDED) for number in range(10)], 1)
    state.apply_records([_record(b"kept", 11)], 2)
    start = Position(3, 0, NO_CHAIN)
    head = _head(Position(2, BLOCK, NO_CHAIN), first=2)
    state.apply(Batch(HEADER, start, Position(3, BLOCK, NO_CHAIN), 0, 0, head, ()))
    assert len(state.entries) == 8 and state.entries.oldest_segment() == 2
    assert not any(state.entries.get(b"%d" % number) for number in range(10)) and state.entries.get(b"kept")
    state.sweep(100, 0)
    state.sweep(100, 0)
    assert list(state.entries) == [b"kept"] and state.live == _record(b"kept", 11).size


def test_who_looks_at_all_ids_again_and_again_finds_those_that_are_over() -> None:
    state = State()
    state.apply_records([_record(b"%d" % number, number + 1) for number in range(100)], 1)
    state.apply_records([_record(b"ended%d" % number, number + 101, b"", Kind.ENDED) for number in range(100)], 1)
    over = 5 + 1440 * 1000
    assert not [id for _ in range(50) for id in state.sweep(10, over - 1)]
    found: set[bytes] = set()
    for _ in range(22):
        found.update(state.sweep(10, over, lambda id: id in (b"7", b"ended7")))
    assert found == {b"%d" % number for number in range(100)} - {b"7"}
    assert sorted(state.entries) == sorted([b"ended7", *(b"%d" % number for number in range(100))])
