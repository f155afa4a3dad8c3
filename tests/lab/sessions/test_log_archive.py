"""The sessions of a log as an archive, taken while it is written, and in another log again."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.backup_repository import LAST_FILE
from scripts.hosts.sessions.session_service.archive import (
    KEY,
    FollowsError,
    Place,
    Restoration,
    UnreadableError,
    archived,
    export,
    log_name,
)
from scripts.hosts.sessions.session_service.live import live
from scripts.hosts.sessions.session_service.records import Kind
from tests.lab.sessions.log_on_disk import Folder, Programs, ServingNode, Worker, run, until

LIFETIME = 1000
BEHIND = tarfile.TarInfo(LAST_FILE).tobuf()
"""A backup goes on behind its sessions."""


@pytest.fixture
def program(programs: Programs) -> list[str]:
    return programs.service()


@asynccontextmanager
async def cluster(path: Path, sockets: Path, program: list[str]) -> AsyncIterator[tuple[ServingNode, Place]]:
    """A log with a service that writes it."""
    folder = Folder(path)
    node = await ServingNode(folder, 1, sockets, program).start()
    try:
        await until(lambda: node.is_linked)
        yield node, Place(str(node.socket), str(path), LIFETIME)
    finally:
        await node.kill()


async def stored(node: ServingNode, lifetime: int = LIFETIME) -> Worker:
    """A session `s` of a worker that has ended with it."""
    worker = await node.worker()
    await worker.take(b"s")
    await worker.store(b"s", 0, b"1", lifetime=lifetime)
    worker.release(b"s")
    return worker


async def exported(place: Place, wanted: str = "") -> tuple[bytes, dict[str, int]]:
    into = io.BytesIO()
    counts = await asyncio.to_thread(export, place, wanted, into)
    return into.getvalue() + BEHIND, counts


async def restored(place: Place, backup: bytes, *, stores: bool = True) -> tuple[dict[str, int], list[str]]:
    restoration = Restoration(place, io.BytesIO(backup), stores=stores)
    await asyncio.to_thread(restoration.run)
    return +restoration.counts, sorted(restoration.lines)


def sessions(backup: bytes) -> dict[str, tuple[bytes, int]]:
    return {name: (data, when) for name, data, when in archived(io.BytesIO(backup))}


def test_sessions_come_into_another_log_with_their_time(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        (tmp_path / "old").mkdir()
        (tmp_path / "old" / KEY).write_bytes(b"key")
        async with cluster(tmp_path / "old", sockets, program) as (node, place):
            worker = await node.worker()
            for id, lifetime in ((b"a", 1000), (b"b" * 200, 1000), (b"short", 100), (b"long", 100_000), (b"over", 0)):
                await worker.take(id)
                await worker.store(id, 0, b"data of " + id, lifetime=lifetime)
            await worker.take(b"ended")
            await worker.store(b"ended", await worker.store(b"ended", 0, b"?"), b"", kind=Kind.ENDED)
            await worker.take(b"replaced")
            await worker.store(b"replaced", await worker.store(b"replaced", 0, b"?"), b"", kind=Kind.REPLACED)
            backup, counts = await exported(place)
            assert counts == {"sessions": 4, "expired": 1, "unread": 0}
            [(name, (data, when))] = sessions((await exported(place, log_name(b"long")))[0]).items()
            assert (name, data) == ("sess_long", b"data of long") and abs(when - time.time() - 99_000) < 5
        found = sessions(backup)
        assert found.pop(KEY)[0] == b"key" and set(found) == {f"sess_{id}" for id in ("a", "b" * 200, "short", "long")}
        async with cluster(tmp_path / "new", sockets, program) as (node, place):
            assert await restored(place, backup, stores=False) == ({"restored": 4}, [])
            assert node.told()["known"] == 0
            assert await restored(place, backup) == ({"restored": 4}, [])
            assert (tmp_path / "new" / KEY).read_bytes() == b"key"
            again, _ = await exported(place)
            for name, (data, when) in sessions(again).items():
                assert name == KEY or (data == found[name][0] and abs(when - found[name][1]) <= 1), name
            assert await restored(place, backup) == ({"already": 4}, [])
            assert node.told()["turns"] == 0

    run(scenario)


def test_what_is_newer_stays(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (node, place):
            worker = await node.worker()
            versions = {}
            for id in (b"same", b"used", b"ended", b"short"):
                await worker.take(id)
                versions[id] = await worker.store(id, 0, b"1")
            backup, _ = await exported(place)
            await worker.store(b"used", versions[b"used"], b"2")
            await worker.store(b"ended", versions[b"ended"], b"", kind=Kind.ENDED)
            await worker.store(b"short", versions[b"short"], b"2", lifetime=900)
            for id in versions:
                worker.release(id)
            # The second one is a session.gc_maxlifetime that was raised since.
            for lifetime in (LIFETIME, 2 * LIFETIME):
                counts, lines = await restored(replace(place, lifetime=lifetime), backup)
                assert counts == {"already": 1, "newer": 3}
                assert lines == sorted(f"newer {log_name(id)}" for id in (b"used", b"ended", b"short"))
            found = [(await worker.take(id)).data for id in versions]
            assert found == [b"1", b"2", b"", b"2"]

    run(scenario)


def test_what_is_older_is_replaced(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (node, place):
            worker = await stored(node, 900)
            entry = tarfile.TarInfo("sessions/sess_s")
            entry.size, entry.mtime = 1, int(time.time()) + 10
            backup = entry.tobuf() + b"2".ljust(tarfile.BLOCKSIZE, b"\0") + BEHIND
            assert await restored(place, backup) == ({"restored": 1}, [])
            assert (await worker.take(b"s")).data == b"2"

    run(scenario)


def test_an_expired_session_stays_so(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (_, place):
            entry = tarfile.TarInfo("sessions/sess_old")
            entry.mtime = int(time.time()) - LIFETIME - 1
            assert await restored(place, entry.tobuf() + BEHIND) == ({"expired": 1}, [])
            assert await restored(place, (await exported(place))[0]) == ({}, [])

    run(scenario)


def test_it_is_as_of_one_moment_while_the_log_is_written_and_cleaned(
    tmp_path: Path, sockets: Path, programs: Programs
) -> None:
    """Forty sessions count; what was acknowledged before is in it, and each is whole."""
    program = programs.service("SEGMENT_BYTES=65536")
    ids = [b"%d" % number for number in range(40)]

    async def count(node: ServingNode, acknowledged: Counter[bytes], id: bytes) -> None:
        worker = await node.worker()
        version = (await worker.take(id)).version
        while True:
            version = await worker.store(id, version, b"%d" % (acknowledged[id] + 1) * 300)
            acknowledged[id] += 1

    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (node, place):
            acknowledged: Counter[bytes] = Counter()
            counting = [asyncio.create_task(count(node, acknowledged, id)) for id in ids]
            while node.told()["first"] == 1:
                await asyncio.sleep(0.01)
            for _ in range(8):
                before = acknowledged.copy()
                found = sessions((await exported(place))[0])
                assert len(found) == len(ids)
                for id in ids:
                    data = found[f"sess_{id.decode()}"][0]
                    number = data[: len(data) // 300]
                    assert data == number * 300 and before[id] <= int(number) <= acknowledged[id] + 1
            for task in counting:
                task.cancel()
            await asyncio.gather(*counting, return_exceptions=True)

    run(scenario)


def test_who_follows_tells_no_sessions_and_stores_some(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (writing, place):
            await stored(writing)
            backup, _ = await exported(place)
            follower = await ServingNode(writing.folder, 2, sockets, program).start()
            try:
                await until(lambda: follower.is_linked)
                behind = replace(place, socket=str(follower.socket))
                with pytest.raises(FollowsError, match="another node writes"):
                    await exported(behind)
                assert await restored(behind, backup) == ({"already": 1}, [])
            finally:
                await follower.kill()

    run(scenario)


def test_a_backup_that_ends_too_early_is_none(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (node, place):
            await stored(node)
            backup, _ = await exported(place)
            for part in (backup[:700], backup[: -len(BEHIND)], b""):
                with pytest.raises(UnreadableError, match="the backup"):
                    await restored(place, part)

    run(scenario)


def test_any_node_tells_the_ids_that_the_log_has(tmp_path: Path, sockets: Path, program: list[str]) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path / "volume", sockets, program) as (node, place):
            follower = await ServingNode(node.folder, 2, sockets, program).start()
            try:
                await until(lambda: follower.is_linked)
                worker = await follower.worker()
                for id, kind in ((b"a", Kind.STORED), (b"ended", Kind.ENDED), (b"replaced", Kind.REPLACED)):
                    await worker.take(id)
                    await worker.store(id, 0, b"", kind=kind)
                for each in (node, follower):
                    # What was acknowledged is there, whatever the follower has heard of.
                    assert await asyncio.to_thread(live, str(each.socket), place.folder) == {b"a", b"replaced"}
            finally:
                await follower.kill()

    run(scenario)
