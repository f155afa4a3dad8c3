"""Session services of three nodes on one log: turns, commits, and who writes. The volume is a plain folder here."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scripts.hosts.sessions.session_service import node as service_of_node
from scripts.hosts.sessions.session_service import replay, wire, writer
from scripts.hosts.sessions.session_service.records import Kind
from tests.unit.sessions.log_on_disk import BRICKS, PORT, Folder, ServingNode, Worker, run, until


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "volume")


@asynccontextmanager
async def serving(folder: Folder, sockets: Path, *numbers: int) -> AsyncIterator[dict[int, ServingNode]]:
    """Nodes whose services run; the first one writes."""
    nodes = {number: ServingNode(folder, number, sockets, port=PORT) for number in numbers}
    try:
        for each in nodes.values():
            await each.start()
        await until(lambda: all(each.node.is_linked for each in nodes.values()))
        yield nodes
    finally:
        for each in nodes.values():
            await each.kill()


def _writing(nodes: dict[int, ServingNode]) -> int:
    (number,) = [number for number, each in nodes.items() if each.node.writes]
    return number


async def _lose_link(node: ServingNode) -> None:
    """Has a node lose the writer for a moment."""
    before = node.node._link
    node.node.leave_writer()
    await until(lambda: node.node._link not in (None, before))


def _commits(node: ServingNode) -> int:
    commits = node.node.statistics()["commits"]
    assert isinstance(commits, int)
    return commits


def test_what_one_node_stores_another_one_reads(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2, 4) as nodes:
            first, other = await nodes[2].worker(), await nodes[4].worker()
            assert (await first.take(b"s")).kind == Kind.ENDED
            version = await first.store(b"s", 0, b"hello")
            first.release(b"s")
            found = await other.take(b"s")
            assert (found.kind, found.version, found.data, found.lifetime) == (Kind.STORED, version, b"hello", 1000)

    run(scenario)


def test_turns_are_given_in_the_order_in_which_they_were_asked_for(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            order: list[int] = []
            holder = await nodes[1].worker()
            await holder.take(b"s")
            waiters = [await nodes[1 + number % 2].worker() for number in range(6)]

            async def wait(number: int) -> None:
                await waiters[number].take(b"s")
                order.append(number)
                waiters[number].close()  # killed, not given back

            tasks = []
            for number in range(6):
                tasks.append(asyncio.create_task(wait(number)))
                await until(lambda asked=number: nodes[1].node.statistics()["waiting"] == asked + 1)  # type: ignore[misc]
            holder.release(b"s")
            await asyncio.gather(*tasks)
            assert order == list(range(6))

    run(scenario)


def test_a_turn_is_waited_for_no_longer_than_was_said_and_by_no_more_than_that(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            holder, late, one_more = [await nodes[1].worker() for _ in range(3)]
            await holder.take(b"s")
            waiting = asyncio.create_task(late.take(b"s", wait=0.5, places=1))
            await until(lambda: nodes[1].node.statistics()["waiting"] == 1)
            with pytest.raises(ConnectionRefusedError, match="too many requests wait for sessions on this node"):
                await one_more.take(b"s", places=1)
            with pytest.raises(ConnectionRefusedError, match="has held its lock for too long"):
                await waiting
            assert nodes[1].node.statistics()["waiting"] == 0
            holder.release(b"s")
            await late.take(b"s")

    run(scenario)


def test_a_store_rests_on_what_was_read(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            one, other = await nodes[1].worker(), await nodes[1].worker()
            await one.take(b"s")
            with pytest.raises(ConnectionRefusedError, match="another request has its turn"):
                await other.store(b"s", 0, b"?")
            version = await one.store(b"s", 0, b"1")
            with pytest.raises(ConnectionRefusedError, match="another request has changed it"):
                await one.store(b"s", 0, b"?")
            assert await one.store(b"s", version, b"2") > version
            one.release(b"s")
            # Nobody has the turn, as after a service that was started anew.
            with pytest.raises(ConnectionRefusedError, match="another request has changed it"):
                await other.store(b"s", version, b"?")
            assert (await other.take(b"s")).data == b"2"

    run(scenario)


def test_a_store_that_comes_again_is_stored_once(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1", request=b"12345678")
            assert await worker.store(b"s", 0, b"1", request=b"12345678") == version

    run(scenario)


class Held:
    """A writer's next commit, held until it may go on, and then done or not."""

    def __init__(self, node: ServingNode, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> None:
        assert node.node.writer is not None
        segment, loop = node.node.writer.segment, asyncio.get_running_loop()
        self.has_begun, self._goes_on, put = asyncio.Event(), threading.Event(), segment.put

        def put_late(data: bytes, offset: int) -> None:
            loop.call_soon_threadsafe(self.has_begun.set)
            self._goes_on.wait(20)
            monkeypatch.setattr(segment, "put", put)
            put(data, offset)
            if fails:
                raise OSError(errno.EIO, "a brick was restarted")

        monkeypatch.setattr(segment, "put", put_late)

    def go_on(self) -> None:
        """Lets it end."""
        self._goes_on.set()


def test_a_store_that_comes_again_while_it_is_under_way_is_answered_like_the_first(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection of its node has ended, and is there again before the commit has ended."""

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"s")
            held = Held(nodes[1], monkeypatch)
            storing = asyncio.create_task(worker.store(b"s", 0, b"1"))
            await held.has_begun.wait()
            await _lose_link(nodes[2])
            asyncio.get_running_loop().call_later(0.1, held.go_on)
            assert await worker.store(b"s", await storing, b"2") > 0

    run(scenario)


def test_an_end_that_comes_with_time_is_not_repeated_over_a_store(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The life of a session ends while a request has it whose turn was of an earlier term; that commit fails."""

    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1", lifetime=1)
            worker.release(b"s")
            held = Held(nodes[1], monkeypatch, fails=True)
            await held.has_begun.wait()
            storing = asyncio.create_task(worker.store(b"s", version, b"2"))
            asyncio.get_running_loop().call_later(0.1, held.go_on)
            await storing
            assert (await worker.take(b"s")).data == b"2"

    run(scenario)


def test_an_end_is_remembered(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            ended = await worker.store(b"s", version, b"", kind=Kind.ENDED)
            worker.release(b"s")
            # Who has read nothing before the session came and went must not store now.
            with pytest.raises(ConnectionRefusedError, match="another request has changed it"):
                await worker.store(b"s", 0, b"?")
            found = await worker.take(b"s")
            assert found.kind == Kind.ENDED and found.version == ended

    run(scenario)


def test_a_session_ends_when_its_life_is_over(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            for id in (b"asked", b"unasked"):
                await worker.take(id)
                await worker.store(id, 0, b"1", lifetime=1)
                worker.release(id)
            await until(lambda: nodes[1].node.statistics()["sessions"] == 0)
            assert (await worker.take(b"asked")).kind == Kind.ENDED

    run(scenario)


def test_the_next_writer_has_all_and_knows_what_was_stored(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2, 3) as nodes:
            kept, lost = await nodes[2].worker(), await nodes[1].worker()
            await kept.take(b"s")
            version = await kept.store(b"s", 0, b"1", request=b"12345678")
            await lost.take(b"t")
            await nodes[1].kill()
            # Its turn and its version are told to the next one.
            assert await kept.store(b"s", 0, b"1", request=b"12345678") == version
            await kept.store(b"s", version, b"2")
            assert _writing({2: nodes[2], 3: nodes[3]}) == 2
            other = await nodes[3].worker()
            # A worker that went with its node has nothing any more.
            await other.take(b"t", wait=1)
            with pytest.raises(ConnectionRefusedError, match="too long"):
                await other.take(b"s", wait=0.2)

    run(scenario)


def test_a_writer_that_was_deposed_answers_nobody(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """php1 stands still while it commits, for longer than others wait."""
    monkeypatch.setattr(service_of_node, "STUCK_SECONDS", 0.3)

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            worker, other = await nodes[1].worker(), await nodes[2].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            first = nodes[1].node.writer
            assert first is not None
            segment = first.segment
            put, still = segment.put, asyncio.Event()
            loop = asyncio.get_running_loop()

            def put_late(data: bytes, offset: int) -> None:
                loop.call_soon_threadsafe(still.set)
                deadline = time.monotonic() + 20
                while not nodes[2].node.writes and time.monotonic() < deadline:
                    time.sleep(0.01)
                put(data, offset)

            monkeypatch.setattr(segment, "put", put_late)
            storing = asyncio.create_task(worker.store(b"s", version, b"2"))
            await still.wait()
            assert (await other.take(b"t")).kind == Kind.ENDED
            # What it had committed too late is not lost by that: its node tells the next writer.
            version = await storing
            assert nodes[2].node.writes and not nodes[1].node.writes
            worker.release(b"s")
            found = await other.take(b"s")
            assert (found.version, found.data) == (version, b"2")

    run(scenario)


def test_a_writer_that_nobody_asks_anything_sees_that_another_one_writes(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            old = nodes[1].node.writer
            another = writer.Writer(folder.volume(), replay.State(), "php2", "127.0.0.3:1", lambda batch, data: None)
            await another.take_over()
            await until(lambda: nodes[1].node.writer is not old)
            another.close()

    run(scenario)


@pytest.mark.parametrize("has_to_roll", [False, True])
def test_a_writer_whose_followers_are_gone_again_is_deposed_too(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch, *, has_to_roll: bool
) -> None:
    """Another one has taken over, written much, and removed what had become old, while this one had nothing to do."""

    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            old = nodes[1].node.writer
            assert old is not None
            monkeypatch.setattr(old, "_examine", lambda: None)
            another = writer.Writer(folder.volume(), replay.State(), "php2", "127.0.0.3:1", lambda batch, data: None)
            await another.take_over()
            newest = old.segment.number + 4
            serving_too = asyncio.create_task(another.serve())
            for number in range(3):
                folder.heals()
                folder.loses(BRICKS[number % 2])
                stored: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
                asked = wire.Store(Kind.STORED, version, b"another%d" % number, 1000, b"s", b"2")
                another.handle(writer.Peer("php2", 1), wire.store_body(asked), stored.set_result)
                version = wire.of_version(await stored)[0]
            folder.heals()
            await until(lambda: folder.numbers() == [newest - 1, newest])
            old._must_roll = has_to_roll
            worker.release(b"s")
            assert (await worker.take(b"s")).data == b"2"
            serving_too.cancel()
            another.close()

    run(scenario)


@pytest.mark.parametrize("connected", [True, False])
def test_a_segment_that_a_brick_has_lost_is_followed_by_another(
    folder: Folder, sockets: Path, *, connected: bool
) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            before = folder.numbers()[-1]
            folder.loses(BRICKS[0], connected=connected)
            version = await worker.store(b"s", version, b"2")
            assert folder.numbers()[-1] == before + 1
            # As long as one brick alone has it, each commit is written, looks alone prove nothing.
            commits = _commits(nodes[1])
            worker.release(b"s")
            assert (await worker.take(b"s")).data == b"2"
            assert _commits(nodes[1]) > commits
            folder.heals()
            await until(lambda: folder.numbers()[-1] > before + 1)
            await worker.store(b"s", version, b"3")

    run(scenario)


def test_who_waits_for_a_writer_is_refused_in_the_end(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_of_node, "WAIT_SECONDS", 0.5)

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 4) as nodes:
            worker = await nodes[4].worker()
            await worker.take(b"s")
            await nodes[1].kill()
            # php4 never writes.
            with pytest.raises(ConnectionRefusedError, match="no session service writes"):
                await worker.store(b"s", 0, b"1")
            begun = time.monotonic()
            with pytest.raises(ConnectionRefusedError, match="no session service writes"):
                await worker.take(b"t")
            assert time.monotonic() - begun < 0.5
            await nodes[1].start()
            await until(lambda: nodes[4].node.is_linked)
            await worker.store(b"s", 0, b"1")

    run(scenario)


def test_a_node_without_a_volume_still_asks_who_wrote_last(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"s")
            away = folder.path / "log"
            away.rename(folder.path / "away")
            nodes[2].node.leave_writer()
            await until(lambda: nodes[2].node.is_linked)
            (folder.path / "away").rename(away)
            await worker.store(b"s", 0, b"1")
            assert nodes[1].node.writes

    run(scenario)


def test_a_node_whose_writer_waits_for_its_volume_does_not_say_that_all_is_well(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The balancers give it no new requests then."""
    monkeypatch.setattr(service_of_node, "STUCK_SECONDS", 0.2)

    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            note = Path(f"{nodes[1].socket}-linked")
            worker = await nodes[1].worker()
            await worker.take(b"s")
            await until(note.exists)
            held = Held(nodes[1], monkeypatch)
            storing = asyncio.create_task(worker.store(b"s", 0, b"1"))
            await held.has_begun.wait()
            await asyncio.sleep(0.6)
            late = note.read_bytes()
            await asyncio.sleep(0.6)
            assert note.read_bytes() == late
            held.go_on()
            await storing
            await until(lambda: note.read_bytes() != late)

    run(scenario)


def test_a_node_whose_volume_fails_keeps_its_writer_and_follows_again_later(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_of_node, "LAG_SECONDS", 1)

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            node, volume = nodes[2].node, nodes[2].node._volume

            def fails(*_: object) -> bytes:
                raise OSError(errno.ENOTCONN, "the mount is away")

            with monkeypatch.context() as away:
                away.setattr(volume, "read", fails)
                away.setattr(volume, "numbers", fails)
                await _lose_link(nodes[2])
                link = node._link
                worker = await nodes[2].worker()
                await worker.take(b"s")
                await asyncio.sleep(1.5)
                version = await worker.store(b"s", 0, b"1")
                assert node._link is link and node.statistics()["stored"] == 0
            await until(lambda: node.statistics()["stored"] == 1)
            await worker.store(b"s", version, b"2")
            assert node._link is link
            await nodes[1].kill()
            await worker.store(b"t", 0, b"1")
            assert (await worker.take(b"s")).data == b"2"

    run(scenario)


def test_a_node_that_reads_too_slowly_does_not_keep_all_that_is_written(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_of_node, "LAG_SECONDS", 1)
    monkeypatch.setattr(service_of_node, "MAX_BEHIND", 64 << 10)

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            node, volume, goes_on = nodes[2].node, nodes[2].node._volume, threading.Event()
            read = volume.read

            def reads_late(number: int, offset: int = 0, end: int | None = None) -> bytes:
                goes_on.wait(20)
                return read(number, offset, end)

            monkeypatch.setattr(volume, "read", reads_late)
            assert isinstance(node._link, wire.Frames)
            node._link.send(0, bytes([wire.HELLO, 1]))
            worker = await nodes[2].worker()
            await worker.take(b"s")
            version = 0
            for number in range(40):
                version = await worker.store(b"s", version, bytes(4000) + b"%d" % number)
            goes_on.set()
            await until(lambda: node.statistics()["stored"] == 1)
            await nodes[1].kill()
            assert (await worker.take(b"s")).data[4000:] == b"39"

    run(scenario)


def test_a_log_that_has_become_long_is_cleaned(folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 128 << 10)

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            worker = await nodes[2].worker()
            versions = {}
            for number in range(20):
                await worker.take(b"kept%d" % number)
                versions[number] = await worker.store(b"kept%d" % number, 0, b"%d" % number)
                worker.release(b"kept%d" % number)
            await worker.take(b"s")
            version = await worker.store(b"s", 0, bytes(20_000))
            while folder.numbers()[0] < 4:
                version = await worker.store(b"s", version, bytes(20_000))
            assert nodes[1].node.writer is not None and nodes[1].node.writer.state.log_bytes < 1 << 20
            # The one that has followed, and one that begins now, have all of it.
            for number in (2, 3):
                if number == 3:
                    nodes[3] = await ServingNode(folder, 3, sockets, port=PORT).start()
                    await until(lambda: nodes[3].node.statistics()["stored"] == 21)
                    await nodes[2].kill()
                await nodes[1].kill()
                if number == 2:
                    reader = await nodes[2].worker()
                    for each in range(20):
                        assert (await reader.take(b"kept%d" % each)).version == versions[each]
                    await nodes[1].start()
                    await until(lambda: nodes[1].node.is_linked)
            reader = await nodes[3].worker()
            for each in range(20):
                found = await reader.take(b"kept%d" % each)
                assert (found.version, found.data) == (versions[each], b"%d" % each)

    run(scenario)


def test_much_at_once_is_more_than_one_batch(folder: Folder, sockets: Path) -> None:
    """Who follows gets each batch as a frame, whose size has a limit; he is not cut off."""

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            link, first = nodes[2].node._link, nodes[1].node.writer
            assert first is not None
            stored: list[asyncio.Future[bytes]] = []
            for number in range(3):
                stored.append(asyncio.get_running_loop().create_future())
                asked = wire.Store(Kind.STORED, 0, b"request%d" % number, 1000, b"%d" % number, bytes(15 << 20))
                first.handle(writer.Peer("", number), wire.store_body(asked), stored[-1].set_result)
            assert {answer[0] for answer in await asyncio.gather(*stored)} == {wire.STORED}
            await until(lambda: nodes[2].node.statistics()["stored"] == 3)
            assert nodes[2].node._link is link

    run(scenario)


def test_an_old_segment_that_cannot_be_removed_is_in_nobodys_way(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            # As a name that the bricks have two files for.
            folder.segment(0).mkdir()
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            folder.loses(BRICKS[0])
            for number in range(5):
                version = await worker.store(b"s", version, b"%d" % number)
            assert folder.numbers()[-1] == 3

    run(scenario)


def test_ids_that_ended_long_ago_are_forgotten(folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ENDED_SECONDS", 1)
    monkeypatch.setattr(writer, "ENDED_SECONDS", 1)

    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            await worker.store(b"s", version, b"", kind=Kind.ENDED)
            worker.release(b"s")
            await until(lambda: nodes[1].node.statistics()["known"] == 0)

    run(scenario)


def test_a_log_can_be_read_after_a_follower_of_long_has_taken_it_over(
    folder: Folder, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first writer has forgotten, and removed, the next one does not look for."""
    monkeypatch.setattr(replay, "ENDED_SECONDS", 1)
    monkeypatch.setattr(writer, "ENDED_SECONDS", 1)

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"ended")
            version = await worker.store(b"ended", 0, b"1")
            await worker.store(b"ended", version, b"", kind=Kind.ENDED)
            worker.release(b"ended")
            await worker.take(b"kept")
            await until(lambda: nodes[1].node.statistics()["known"] == 0)
            version, before = 0, folder.numbers()[-1]
            for number in range(4):
                folder.heals()
                folder.loses(BRICKS[number % 2])
                version = await worker.store(b"kept", version, b"%d" % number)
            assert folder.numbers()[0] > before
            await nodes[1].kill()
            await until(lambda: nodes[2].node.writes)
            await nodes[2].kill()
            nodes[3] = await ServingNode(folder, 3, sockets, port=PORT).start()
            await until(lambda: nodes[3].node.writes, 10)
            assert (await (await nodes[3].worker()).take(b"kept")).data == b"3"

    run(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_acknowledged_is_lost_whatever_ends(folder: Folder, sockets: Path, seed: int) -> None:
    """Nine workers of three nodes count; meanwhile services are killed and started, and bricks lose the segment."""
    draw = random.Random(seed)  # noqa: S311
    acknowledged = dict.fromkeys((b"a", b"b", b"c"), 0)
    attempts = dict.fromkeys(acknowledged, 0)

    async def count(nodes: dict[int, ServingNode], number: int, ended: asyncio.Event) -> None:
        while not ended.is_set():
            id = draw.choice(list(acknowledged))
            try:
                worker = await nodes[number].worker()
            except OSError:
                await asyncio.sleep(0.01)
                continue
            lost = asyncio.Event()
            worker.frames.on_lost = lost.set
            adding = asyncio.create_task(_add_one(worker, id, acknowledged, attempts))
            losing = asyncio.create_task(lost.wait())
            await asyncio.wait([adding, losing], return_when=asyncio.FIRST_COMPLETED)
            for task in (adding, losing):
                task.cancel()
            await asyncio.gather(adding, losing, return_exceptions=True)
            worker.close()

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2, 3) as nodes:
            ended = asyncio.Event()
            counting = [asyncio.create_task(count(nodes, 1 + each % 3, ended)) for each in range(9)]
            for _ in range(8):
                await asyncio.sleep(draw.random() * 0.5)
                match draw.randrange(3):
                    case 0 | 1:
                        number = draw.choice((1, 2, 3))
                        await nodes[number].kill()
                        await asyncio.sleep(draw.random() * 0.4)
                        await nodes[number].start()
                    case 2:
                        folder.loses(draw.choice(BRICKS))
                        await asyncio.sleep(draw.random() * 0.2)
                        folder.heals()
            ended.set()
            await asyncio.gather(*counting)
            await until(lambda: all(each.node.is_linked for each in nodes.values()))
            reader = await nodes[1].worker()
            for id, least in acknowledged.items():
                found = int.from_bytes((await reader.take(id)).data)
                assert least <= found <= attempts[id], (id, least, found, attempts[id])
            assert sum(acknowledged.values()) > 20

    run(scenario)


async def _add_one(worker: Worker, id: bytes, acknowledged: dict[bytes, int], attempts: dict[bytes, int]) -> None:
    held = await worker.take(id, wait=20)
    number = int.from_bytes(held.data) + 1
    assert number > acknowledged[id], "an older value was read"
    attempts[id] += 1
    try:
        await worker.store(id, held.version, number.to_bytes(8))
    except ConnectionRefusedError:
        return
    acknowledged[id] = max(acknowledged[id], number)


def test_frames_that_are_none_end_the_connection(folder: Folder, sockets: Path) -> None:
    async def scenario() -> None:
        async with serving(folder, sockets, 1) as nodes:
            for text in (
                wire.FRAME.pack(wire.MAX_BODY + 1, 0),
                wire.FRAME.pack(0, 0),
                wire.FRAME.pack(3, 0) + b"\x02ab",
                framed(wire.take_body(wire.Take(1000, 1, b""))),
                framed(wire.store_body(wire.Store(Kind.STORED, 0, bytes(8), 1, b"s", bytes(wire.MAX_DATA + 1)))),
                framed(b"\x02\x09" + wire.store_body(wire.Store(Kind.STORED, 0, bytes(8), 1, b"s", b""))[2:]),
            ):
                reader, to = await asyncio.open_unix_connection(str(nodes[1].socket))
                to.write(text)
                assert await asyncio.wait_for(reader.read(), 10) == b""
                to.close()
            worker = await nodes[1].worker()
            assert (await worker.ask(b"\xff"))[0] == wire.REFUSED

    run(scenario)


def framed(body: bytes) -> bytes:
    """The frame of a body."""
    return wire.FRAME.pack(len(body), 0) + body


def test_a_worker_that_talks_nonsense_ends_nobody_elses_turn(folder: Folder, sockets: Path) -> None:
    """What it says goes no further than to its own node's service."""

    async def scenario() -> None:
        async with serving(folder, sockets, 1, 2) as nodes:
            holder, waiter = await nodes[2].worker(), await nodes[2].worker()
            await holder.take(b"s")
            link = nodes[2].node._link
            reader, to = await asyncio.open_unix_connection(str(nodes[2].socket))
            to.write(framed(b"\x02\x09" + wire.store_body(wire.Store(Kind.STORED, 0, bytes(8), 1, b"t", b""))[2:]))
            assert await asyncio.wait_for(reader.read(), 10) == b""
            to.close()
            # Who asks twice would be counted twice among those that wait.
            waiter.frames.send(0, wire.take_body(wire.Take(1000, 100, b"s")))
            waiter.frames.send(0, wire.take_body(wire.Take(1000, 100, b"s")))
            await until(lambda: waiter.frames.transport is None or waiter.frames.transport.is_closing())
            await until(lambda: nodes[1].node.statistics()["waiting"] == 0)
            assert nodes[2].node._link is link
            await holder.store(b"s", 0, b"1")

    run(scenario)
