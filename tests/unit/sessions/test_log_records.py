"""Batches and records of the session log."""

from __future__ import annotations

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
    batch_at,
    batches,
    encoded,
    first_batch,
)


def _record(id: bytes, version: int, data: bytes = b"x", kind: Kind = Kind.STORED) -> Record:
    return Record(kind, id, version, version.to_bytes(8), 1440, 5, data)


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
    head, end = encoded(HEADER, Position(3, 0, NO_CHAIN), 0, (), Head(1, None, 1, "php1", "127.0.0.1:1"))
    begin = first_batch(head, 3)
    assert begin is not None
    rest = b""
    for version, id in enumerate((b"a", b"b", b"c"), 1):
        data, end = encoded(UPDATES, end, 0, [_record(id, version)])
        rest += data
    assert [each.records[0].id for each in batches(rest, begin.end)] == [b"a", b"b", b"c"]
    torn = rest[: 2 * BLOCK] + bytes(BLOCK)
    assert [each.records[0].id for each in batches(torn, begin.end)] == [b"a", b"b"]
    # c says that b was confirmed.
    with pytest.raises(LogError, match="segment 3 is damaged at 8192"):
        batches(rest[:BLOCK] + bytes(BLOCK) + rest[2 * BLOCK :], begin.end)
