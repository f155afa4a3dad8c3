"""Session services of three nodes on one log: turns, commits, and who writes. The volume is a plain folder here."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scripts.hosts.sessions.session_service import wire
from scripts.hosts.sessions.session_service.records import FORMAT, HEADER, NO_CHAIN, Head, Kind, Position, encoded
from tests.lab.sessions.log_on_disk import BRICKS, PORT, Folder, Programs, ServingNode, Worker, run, until


class Cluster:
    """Nodes on one log.

    Args:
        folder: Where the log is.
        sockets: Where they are asked.
        programs: What makes the service.
    """

    def __init__(self, folder: Folder, sockets: Path, programs: Programs) -> None:
        self.folder, self._sockets, self._programs = folder, sockets, programs

    def node(self, number: int, *constants: str) -> ServingNode:
        """A node that does not run yet."""
        return ServingNode(self.folder, number, self._sockets, self._programs.service(*constants))

    @asynccontextmanager
    async def serving(self, *numbers: int, constants: tuple[str, ...] = ()) -> AsyncIterator[dict[int, ServingNode]]:
        """Nodes whose services run; the first one writes."""
        nodes = {number: self.node(number, *constants) for number in numbers}
        try:
            for each in nodes.values():
                await each.start()
                await until(lambda node=each: node.is_linked)  # type: ignore[misc]
            yield nodes
        finally:
            await asyncio.gather(*(each.kill() for each in nodes.values()))
            for each in nodes.values():
                sys.stdout.write(f"php{each.number}:\n{each.journal}")


@pytest.fixture
def cluster(folder: Folder, sockets: Path, programs: Programs) -> Cluster:
    return Cluster(folder, sockets, programs)


async def soon(what: asyncio.Task[int], node: ServingNode) -> int:
    """What comes of a store whose commit is held, which then goes on."""
    await asyncio.sleep(0.1)
    node.mend("hold")
    return await what


def test_what_one_node_stores_another_one_reads(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2, 4) as nodes:
            first, other = await nodes[2].worker(), await nodes[4].worker()
            assert (await first.take(b"s")).kind == Kind.ENDED
            version = await first.store(b"s", 0, b"hello")
            first.release(b"s")
            found = await other.take(b"s")
            assert (found.kind, found.version, found.data, found.lifetime) == (Kind.STORED, version, b"hello", 1000)

    run(scenario)


def test_turns_are_given_in_the_order_in_which_they_were_asked_for(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
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
                await until(lambda asked=number: nodes[1].told()["waiting"] == asked + 1)  # type: ignore[misc]
            holder.release(b"s")
            await asyncio.gather(*tasks)
            assert order == list(range(6))

    run(scenario)


def test_a_turn_is_waited_for_no_longer_than_was_said_and_by_no_more_than_that(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            holder, late, one_more = [await nodes[1].worker() for _ in range(3)]
            await holder.take(b"s")
            waiting = asyncio.create_task(late.take(b"s", wait=0.5, places=1))
            await until(lambda: nodes[1].told()["waiting"] == 1)
            with pytest.raises(ConnectionRefusedError, match="too many requests wait for sessions on this node"):
                await one_more.take(b"s", places=1)
            with pytest.raises(ConnectionRefusedError, match="has held its lock for too long"):
                await waiting
            assert nodes[1].told()["waiting"] == 0
            holder.release(b"s")
            await late.take(b"s")

    run(scenario)


def test_a_store_rests_on_what_was_read(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
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


def test_a_store_that_comes_again_is_stored_once(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1", request=b"12345678")
            assert await worker.store(b"s", 0, b"1", request=b"12345678") == version

    run(scenario)


def test_a_store_that_comes_again_while_it_is_under_way_is_answered_like_the_first(cluster: Cluster) -> None:
    """The connection of its node has ended, and is there again before the commit has ended."""

    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"s")
            nodes[1].fault("hold")
            storing = asyncio.create_task(worker.store(b"s", 0, b"1"))
            await nodes[1].held()
            await nodes[2].lose_link()
            assert await worker.store(b"s", await soon(storing, nodes[1]), b"2") > 0

    run(scenario)


def test_an_end_that_comes_with_time_is_not_repeated_over_a_store(cluster: Cluster) -> None:
    """The life of a session ends while a request has it whose turn was of an earlier term; that commit fails."""

    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1", lifetime=1)
            worker.release(b"s")
            await nodes[1].held()
            storing = asyncio.create_task(worker.store(b"s", version, b"2"))
            nodes[1].fault("fail")
            await soon(storing, nodes[1])
            assert (await worker.take(b"s")).data == b"2"
            assert "is over" in nodes[1].journal

    run(scenario)


def test_an_end_is_remembered(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
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


def test_a_session_ends_when_its_life_is_over(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            worker = await nodes[1].worker()
            for id in (b"asked", b"unasked"):
                await worker.take(id)
                await worker.store(id, 0, b"1", lifetime=1)
                worker.release(id)
            await until(lambda: nodes[1].told()["sessions"] == 0)
            assert (await worker.take(b"asked")).kind == Kind.ENDED

    run(scenario)


def test_the_next_writer_has_all_and_knows_what_was_stored(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2, 3) as nodes:
            kept, lost = await nodes[2].worker(), await nodes[1].worker()
            await kept.take(b"s")
            version = await kept.store(b"s", 0, b"1", request=b"12345678")
            await lost.take(b"t")
            await nodes[1].kill()
            # Its turn and its version are told to the next one.
            assert await kept.store(b"s", 0, b"1", request=b"12345678") == version
            await kept.store(b"s", version, b"2")
            assert nodes[2].writes and not nodes[3].writes
            other = await nodes[3].worker()
            # A worker that went with its node has nothing any more.
            await other.take(b"t", wait=1)
            with pytest.raises(ConnectionRefusedError, match="too long"):
                await other.take(b"s", wait=0.2)

    run(scenario)


def test_a_writer_that_was_deposed_answers_nobody(cluster: Cluster) -> None:
    """php1 stands still while it commits, for longer than others wait."""

    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("STUCK_SECONDS=0.3",)) as nodes:
            worker, other = await nodes[1].worker(), await nodes[2].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            nodes[1].fault("hold")
            storing = asyncio.create_task(worker.store(b"s", version, b"2"))
            await nodes[1].held()
            await until(lambda: nodes[2].writes)
            assert (await other.take(b"t")).kind == Kind.ENDED
            # What it had committed too late is not lost by that: its node tells the next writer.
            version = await soon(storing, nodes[1])
            assert nodes[2].writes and not nodes[1].writes
            worker.release(b"s")
            found = await other.take(b"s")
            assert (found.version, found.data) == (version, b"2")

    run(scenario)


def test_who_waits_for_what_is_being_stored_gets_what_was_stored(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            worker, other = await nodes[1].worker(), await nodes[2].worker()
            await worker.take(b"s")
            nodes[1].fault("hold")
            storing = asyncio.create_task(worker.store(b"s", 0, b"1"))
            await nodes[1].held()
            worker.release(b"s")
            waiting = asyncio.create_task(other.take(b"s"))
            await soon(storing, nodes[1])
            assert (await waiting).data == b"1"

    run(scenario)


def test_a_writer_that_another_has_followed_gives_no_turn_beside_its_commit(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("STUCK_SECONDS=0.3",)) as nodes:
            worker, late, other = await nodes[1].worker(), await nodes[1].worker(), await nodes[2].worker()
            await worker.take(b"s")
            nodes[1].fault("hold")
            storing = asyncio.create_task(worker.store(b"s", 0, b"1"))
            await nodes[1].held()
            await until(lambda: nodes[2].writes)
            await other.take(b"t")
            await other.store(b"t", 0, b"new")
            other.release(b"t")
            asking = asyncio.create_task(late.take(b"t"))
            await soon(storing, nodes[1])
            assert (await asking).data == b"new"

    run(scenario)


def test_a_turn_within_the_lease_waits_for_no_commit(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, constants=("LEASE_SECONDS=5", "STUCK_SECONDS=60")) as nodes:
            worker, other, third = [await nodes[1].worker() for _ in range(3)]
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            nodes[1].fault("hold")
            storing = asyncio.create_task(worker.store(b"s", version, b"2"))
            await nodes[1].held()
            # Of another session. Whoever waits for this one gets what was stored, not what was there before.
            assert (await other.take(b"t")).version == 0
            asking = asyncio.create_task(third.take(b"s"))
            worker.release(b"s")
            nodes[1].mend("hold")
            await storing
            assert (await asking).data == b"2"

    run(scenario)


def test_who_takes_over_waits_for_the_lease_of_the_one_before(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("LEASE_SECONDS=2",)) as nodes:
            worker = await nodes[2].worker()
            version = await worker.store(b"s", (await worker.take(b"s")).version, b"1")
            killed = time.monotonic()
            await nodes[1].kill()
            version = await worker.store(b"s", version, b"2")
            assert time.monotonic() - killed >= 2
            assert nodes[2].writes

    run(scenario)


def test_a_node_that_says_nothing_gives_its_turns_back(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            worker, other = await nodes[2].worker(), await nodes[1].worker()
            version = (await worker.take(b"s")).version
            # As if its power had failed: nobody ends its connection.
            nodes[2].signal(signal.SIGSTOP)
            assert (await other.take(b"s")).version == version
            await other.store(b"s", version, b"1")
            nodes[2].signal(signal.SIGCONT)
            with pytest.raises(ConnectionRefusedError, match="another request has"):
                await worker.store(b"s", version, b"2")

    run(scenario)


def test_a_writer_that_nobody_asks_anything_sees_that_another_one_writes(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            nodes[1].signal(signal.SIGSTOP)
            await until(lambda: nodes[2].writes)
            nodes[1].signal(signal.SIGCONT)
            await until(lambda: "does not write any more" in nodes[1].journal and nodes[1].is_linked)
            assert nodes[2].writes and not nodes[1].writes

    run(scenario)


@pytest.mark.parametrize("constant", ["SEGMENT_BYTES=8192", "HOUSE_SECONDS=1000"])
def test_a_writer_whose_followers_are_gone_again_is_deposed_too(cluster: Cluster, constant: str) -> None:
    """Another one has taken over, written much, and removed what had become old, while this one had nothing to do.

    It is not seen by what looks once a second; with small segments it has to begin another one, too.
    """

    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("HOUSE_SECONDS=1000", constant)) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            newest = cluster.folder.numbers()[-1]
            nodes[1].signal(signal.SIGSTOP)
            await until(lambda: nodes[2].writes)
            another = await nodes[2].worker()
            # Its turn went with the writer that was asked.
            for number in range(3):
                cluster.folder.heals()
                cluster.folder.loses(BRICKS[number % 2])
                version = await another.store(b"s", version, b"2")
            cluster.folder.heals()
            await until(lambda: cluster.folder.numbers()[0] > newest + 1)
            another.release(b"s")
            nodes[1].signal(signal.SIGCONT)
            worker.release(b"s")
            assert (await worker.take(b"s")).data == b"2"

    run(scenario)


@pytest.mark.parametrize("connected", [True, False])
def test_a_segment_that_a_brick_has_lost_is_followed_by_another(cluster: Cluster, *, connected: bool) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, constants=("LEASE_SECONDS=0",)) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            before = cluster.folder.numbers()[-1]
            cluster.folder.loses(BRICKS[0], connected=connected)
            version = await worker.store(b"s", version, b"2")
            assert cluster.folder.numbers()[-1] == before + 1
            # As long as one brick alone has it, each commit is written, looks alone prove nothing.
            commits = nodes[1].told()["commits"]
            worker.release(b"s")
            assert (await worker.take(b"s")).data == b"2"
            assert nodes[1].told()["commits"] > commits
            cluster.folder.heals()
            await until(lambda: cluster.folder.numbers()[-1] > before + 1)
            await worker.store(b"s", version, b"3")

    run(scenario)


def test_who_waits_for_a_writer_is_refused_in_the_end(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 4, constants=("WAIT_SECONDS=0.5",)) as nodes:
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
            await until(lambda: nodes[4].is_linked)
            await worker.store(b"s", 0, b"1")

    run(scenario)


def test_a_node_without_a_volume_still_asks_who_wrote_last(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"s")
            nodes[2].fault("away")
            await nodes[2].lose_link()
            await worker.store(b"s", 0, b"1")
            assert nodes[1].writes

    run(scenario)


def test_a_node_whose_writer_waits_for_its_volume_does_not_say_that_all_is_well(cluster: Cluster) -> None:
    """The balancers give it no new requests then."""

    async def scenario() -> None:
        async with cluster.serving(1, constants=("STUCK_SECONDS=0.2",)) as nodes:
            note = Path(f"{nodes[1].socket}-linked")
            worker = await nodes[1].worker()
            await worker.take(b"s")
            await until(note.exists)
            nodes[1].fault("hold")
            storing = asyncio.create_task(worker.store(b"s", 0, b"1"))
            await nodes[1].held()
            await asyncio.sleep(0.6)
            late = note.read_bytes()
            await asyncio.sleep(0.6)
            assert note.read_bytes() == late
            await soon(storing, nodes[1])
            await until(lambda: note.read_bytes() != late)

    run(scenario)


def test_a_node_whose_volume_fails_keeps_its_writer_and_follows_again_later(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("LAG_SECONDS=1.0",)) as nodes:
            nodes[2].fault("away")
            await nodes[2].lose_link()
            followed = nodes[2].journal.count("follows 127")
            worker = await nodes[2].worker()
            await worker.take(b"s")
            await until(lambda: nodes[2].journal.count("does not follow") > 1)
            version = await worker.store(b"s", 0, b"1")
            assert nodes[2].told()["stored"] == 0
            nodes[2].mend("away")
            await until(lambda: nodes[2].told()["stored"] == 1)
            await worker.store(b"s", version, b"2")
            assert nodes[2].journal.count("follows 127") == followed
            await nodes[1].kill()
            await worker.store(b"t", 0, b"1")
            assert (await worker.take(b"s")).data == b"2"

    run(scenario)


def test_a_node_that_reads_too_slowly_does_not_keep_all_that_is_written(cluster: Cluster) -> None:
    async def scenario() -> None:
        constants = ("LAG_SECONDS=1.0", "MAX_BEHIND=65536")
        async with cluster.serving(1, 2, constants=constants) as nodes:
            # The one read with which it looks who writes.
            nodes[2].fault("hold-read", "1")
            await nodes[2].lose_link()
            worker = await nodes[2].worker()
            await worker.take(b"s")
            version = 0
            for number in range(40):
                version = await worker.store(b"s", version, bytes(4000) + b"%d" % number)
            assert "more is written than it can read" in nodes[2].journal
            nodes[2].mend("hold-read")
            await until(lambda: nodes[2].told()["stored"] == 1)
            await nodes[1].kill()
            assert (await worker.take(b"s")).data[4000:] == b"39"

    run(scenario)


def test_a_node_that_reads_a_long_log_looks_for_another_writer_meanwhile(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            await worker.store(b"s", 0, b"1")
            nodes[2].fault("hold-read", "1")
            await nodes[2].lose_link()
            other = await nodes[2].worker()
            nodes[2].fault("hold-read", "1000")
            # What reads waits still, and what looks does not.
            await nodes[2].lose_link()
            assert (await other.take(b"t")).kind == Kind.ENDED

    run(scenario)


def test_a_log_that_has_become_long_is_cleaned(cluster: Cluster) -> None:
    constants = ("SEGMENT_BYTES=131072",)

    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=constants) as nodes:
            worker = await nodes[2].worker()
            versions = {}
            for number in range(20):
                await worker.take(b"kept%d" % number)
                versions[number] = await worker.store(b"kept%d" % number, 0, b"%d" % number)
                worker.release(b"kept%d" % number)
            await worker.take(b"s")
            version = await worker.store(b"s", 0, bytes(20_000))
            while cluster.folder.numbers()[0] < 4:
                version = await worker.store(b"s", version, bytes(20_000))
            assert nodes[1].told()["bytes"] < 1 << 20
            # The one that has followed, and one that begins now, have all of it.
            for number in (2, 3):
                if number == 3:
                    nodes[3] = await cluster.node(3, *constants).start()
                    await until(lambda: nodes[3].told()["stored"] == 21)
                    await nodes[2].kill()
                await nodes[1].kill()
                if number == 2:
                    reader = await nodes[2].worker()
                    for each in range(20):
                        assert (await reader.take(b"kept%d" % each)).version == versions[each]
                    await nodes[1].start()
                    await until(lambda: nodes[1].is_linked)
            reader = await nodes[3].worker()
            for each in range(20):
                found = await reader.take(b"kept%d" % each)
                assert (found.version, found.data) == (versions[each], b"%d" % each)

    run(scenario)


def test_much_at_once_is_more_than_one_batch(cluster: Cluster) -> None:
    """Who follows gets each batch as a frame, whose size has a limit; he is not cut off."""

    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            workers = [await nodes[1].worker() for _ in range(4)]
            for number, worker in enumerate(workers):
                await worker.take(b"%d" % number)
            nodes[1].fault("hold")
            first = asyncio.create_task(workers[3].store(b"3", 0, b""))
            await nodes[1].held()
            large = [worker.store(b"%d" % number, 0, bytes(15 << 20)) for number, worker in enumerate(workers[:3])]
            storing = [asyncio.create_task(each) for each in large]
            await soon(first, nodes[1])
            assert all([await each > 0 for each in storing])
            await until(lambda: nodes[2].told()["stored"] == 4)
            assert nodes[2].journal.count("follows 127") == 1

    run(scenario)


def test_an_old_segment_that_cannot_be_removed_is_in_nobodys_way(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            # As a name that the bricks have two files for.
            cluster.folder.segment(0).mkdir()
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            cluster.folder.loses(BRICKS[0])
            for number in range(5):
                version = await worker.store(b"s", version, b"%d" % number)
            assert cluster.folder.numbers()[-1] == 3

    run(scenario)


def test_a_writer_that_loses_a_brick_while_it_begins_a_segment_goes_on(cluster: Cluster) -> None:
    """The segment that is there then is its own, and nobody deposes it."""

    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            before = cluster.folder.numbers()[-1]
            for brick in BRICKS:
                cluster.folder.loses(brick)
            storing = asyncio.create_task(worker.store(b"s", version, b"2"))
            await until(lambda: cluster.folder.numbers()[-1] > before)
            cluster.folder.heals()
            assert await storing > version
            assert "does not write any more" not in nodes[1].journal

    run(scenario)


def test_ids_that_ended_long_ago_are_forgotten(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, constants=("ENDED_SECONDS=1",)) as nodes:
            worker = await nodes[1].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            await worker.store(b"s", version, b"", kind=Kind.ENDED)
            worker.release(b"s")
            await until(lambda: nodes[1].told()["known"] == 0)

    run(scenario)


def test_what_another_node_still_knows_of_an_id_that_ended_long_ago_is_in_nobodys_way(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("ENDED_SECONDS=1",)) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"s")
            version = await worker.store(b"s", 0, b"1")
            await worker.store(b"s", version, b"", kind=Kind.ENDED)
            worker.release(b"s")
            await until(lambda: nodes[1].told()["known"] == 0)
            assert (await worker.take(b"s")).version == 0
            # The log's time is that of the last commit.
            other = await nodes[1].worker()
            await other.take(b"t")
            await other.store(b"t", 0, b"1")
            await until(lambda: nodes[2].told()["stored"] == 1)
            await nodes[1].kill()
            await until(lambda: nodes[2].writes)
            assert nodes[2].told()["known"] == 2
            await worker.store(b"s", 0, b"2")

    run(scenario)


def test_a_log_can_be_read_after_a_follower_of_long_has_taken_it_over(cluster: Cluster) -> None:
    """What the first writer has forgotten, and removed, the next one does not look for."""

    async def scenario() -> None:
        async with cluster.serving(1, 2, constants=("ENDED_SECONDS=1",)) as nodes:
            worker = await nodes[2].worker()
            await worker.take(b"ended")
            version = await worker.store(b"ended", 0, b"1")
            await worker.store(b"ended", version, b"", kind=Kind.ENDED)
            worker.release(b"ended")
            await worker.take(b"kept")
            await until(lambda: nodes[1].told()["known"] == 0)
            version, before = 0, cluster.folder.numbers()[-1]
            for number in range(4):
                cluster.folder.heals()
                cluster.folder.loses(BRICKS[number % 2])
                version = await worker.store(b"kept", version, b"%d" % number)
            assert cluster.folder.numbers()[0] > before
            await nodes[1].kill()
            await until(lambda: nodes[2].writes)
            await nodes[2].kill()
            nodes[3] = await cluster.node(3).start()
            await until(lambda: nodes[3].writes, 10)
            assert (await (await nodes[3].worker()).take(b"kept")).data == b"3"

    run(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_acknowledged_is_lost_whatever_ends(cluster: Cluster, seed: int) -> None:
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
        async with cluster.serving(1, 2, 3) as nodes:
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
                        cluster.folder.loses(draw.choice(BRICKS))
                        await asyncio.sleep(draw.random() * 0.2)
                        cluster.folder.heals()
            ended.set()
            await asyncio.gather(*counting)
            await until(lambda: all(each.is_linked for each in nodes.values()))
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


def test_frames_that_are_none_end_the_connection(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
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


def test_a_worker_that_talks_nonsense_ends_nobody_elses_turn(cluster: Cluster) -> None:
    """What it says goes no further than to its own node's service."""

    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            holder, waiter = await nodes[2].worker(), await nodes[2].worker()
            await holder.take(b"s")
            followed = nodes[2].journal.count("follows 127")
            reader, to = await asyncio.open_unix_connection(str(nodes[2].socket))
            to.write(framed(b"\x02\x09" + wire.store_body(wire.Store(Kind.STORED, 0, bytes(8), 1, b"t", b""))[2:]))
            assert await asyncio.wait_for(reader.read(), 10) == b""
            to.close()
            # Who asks twice would be counted twice among those that wait.
            waiter.frames.send(0, wire.take_body(wire.Take(1000, 100, b"s")))
            waiter.frames.send(0, wire.take_body(wire.Take(1000, 100, b"s")))
            await until(lambda: waiter.frames.transport is None or waiter.frames.transport.is_closing())
            await until(lambda: nodes[1].told()["waiting"] == 0)
            assert nodes[2].journal.count("follows 127") == followed
            await holder.store(b"s", 0, b"1")

    run(scenario)


@pytest.mark.parametrize("seed", range(3))
def test_rubbish_ends_its_own_connection_and_nobody_else_notices(cluster: Cluster, seed: int) -> None:
    """From workers and from other nodes: random bytes, and true frames with some bytes changed."""
    draw = random.Random(seed)  # noqa: S311
    true = [
        wire.take_body(wire.Take(1000, 100, b"s")),
        wire.store_body(wire.Store(Kind.STORED, 0, b"12345678", 1000, b"t", bytes(50))),
        bytes([wire.RELEASE]) + b"s",
        wire.version_body(wire.RECLAIM, 7, b"s"),
        bytes([wire.HELLO, 1, FORMAT]),
        bytes([wire.ASK]),
        bytes([wire.GONE]),
        bytes([wire.STATISTICS]),
    ]

    def rubbish() -> bytes:
        if draw.random() < 0.2:
            return draw.randbytes(draw.randrange(200))
        said = bytearray()
        for body in draw.sample(true, 5):
            spoilt = bytearray(body[: draw.randrange(1, len(body) + 1)])
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            said += wire.FRAME.pack(len(spoilt), draw.choice((0, 1, 7))) + spoilt
        return bytes(said)

    async def scenario() -> None:
        async with cluster.serving(1, 2) as nodes:
            worker = await nodes[2].worker()
            version = await worker.store(b"kept", (await worker.take(b"kept")).version, b"1")
            for number in range(300):
                if number % 2:
                    _, to = await asyncio.open_unix_connection(str(nodes[1].socket))
                else:
                    _, to = await asyncio.open_connection("127.0.0.2", PORT)
                to.write(rubbish())
                await asyncio.sleep(0)
                to.close()
            assert await worker.store(b"kept", version, b"2") > version
            await until(lambda: nodes[1].told()["waiting"] == 0)
            assert nodes[2].journal.count("follows 127") == 1

    run(scenario)


class Newer(Head):
    """What a newer release writes."""

    def encoded(self) -> bytes:
        text = b'{"format": 2, "whatever": []}'
        return len(text).to_bytes(4) + text


def test_a_newer_format_is_refused_aloud(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.serving(1) as nodes:
            reader, to = await asyncio.open_connection("127.0.0.2", PORT)
            to.write(framed(bytes([wire.HELLO, 1, FORMAT + 1])))
            assert await reader.read() == b""
            to.close()
            assert "its format is 2" in nodes[1].journal
            await nodes[1].kill()
            newest = cluster.folder.numbers()[-1]
            head = Newer(1, None, 1, "", "")
            data, _ = encoded(HEADER, Position(newest + 1, 0, NO_CHAIN), 0, (), head)
            cluster.folder.segment(newest + 1).write_bytes(data)
            await nodes[1].start()
            refused = f"segment {newest + 1} has format 2, and this service knows none above 1"
            await until(lambda: nodes[1].told()["trouble"] == refused)
            assert cluster.folder.numbers()[-1] == newest + 1

    run(scenario)
