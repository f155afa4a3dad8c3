"""Clients that do harm, until they are interrupted: `python -m tests.faults.hostile KIND ADDRESS`.

They run in a network of their own, so that the site knows them from other visitors by their addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from tests.faults.load import get

FIRST_HOST, SOURCES = 200, 40
"""The sources are so many addresses of the cluster's network, from this one on."""

SLOW, IDLE, FLOODING = 4100, 20_000, 100
"""Connections: of clients that are slow, that say nothing, and that ask as fast as they are answered."""

IDLE_PROCESSES = 2
"""One may not have so many on each box."""

DRIP_SECONDS = 2.0
"""From one piece of what a slow client sends to the next one."""

AGAIN_SECONDS = 5.0
"""Until a client whose connection was closed makes another one."""

STORED = "/?update=flood"

BODY = "POST / HTTP/1.1\r\nHost: site\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n"
BODIES = (BODY, BODY + "x" * 60_000)
"""Of one half the balancer gets what it waits for before it passes a request on, of the other half it does not."""

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def sources(address: str) -> list[str]:
    """The addresses of a cluster's network from which its hostile clients come."""
    network = ipaddress.ip_network(f"{address}/24", strict=False)
    return [str(network[FIRST_HOST + number]) for number in range(SOURCES)]


@asynccontextmanager
async def _connected(address: str, source: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(address, 80, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _slow_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: site\r\n")
    for header in itertools.count():
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)
        writer.write(f"X-{number}-{header}: 1\r\n".encode())


async def _slow_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(BODIES[number % 2].encode())
    while True:
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)
        writer.write(b"x")


async def _idle(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: int) -> None:
    await reader.read()


async def _again_and_again(address: str, source: str, number: int, client: Client) -> None:
    # Not all in one moment.
    await asyncio.sleep(number % 100 / 50)
    while True:
        with contextlib.suppress(OSError):
            async with _connected(address, source) as (reader, writer):
                await client(reader, writer, number)
        await asyncio.sleep(AGAIN_SECONDS)


async def _many(address: str, count: int, origins: Sequence[str], client: Client) -> None:
    origin = itertools.cycle(origins)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_again_and_again(address, next(origin), number, client))


def _flood(address: str, *options: str) -> None:
    """Asks as fast as it is answered, in place of this process."""
    command = ["wrk", "--threads=1", f"--connections={FLOODING}", "--duration=3600s", *options]
    os.execvp(command[0], [*command, f"http://{address}{STORED}"])  # noqa: S606


def _flood_of_one_session(address: str) -> None:
    cookie = asyncio.run(get(address, STORED, "")).cookie
    _flood(address, f"--header=Cookie: PHPSESSID={cookie}")


def _by(count: int, client: Client, *, from_all: bool = False) -> Callable[[str], None]:
    def act(address: str) -> None:
        asyncio.run(_many(address, count, sources(address)[: None if from_all else 1], client))

    return act


KINDS: dict[str, Callable[[str], None]] = {
    "slow-headers": _by(SLOW, _slow_headers),
    "slow-bodies": _by(SLOW, _slow_body),
    "idle-connections": _by(IDLE // IDLE_PROCESSES, _idle, from_all=True),
    "one-session-flood": _flood_of_one_session,
    "cookieless-flood": _flood,
}
"""Name to what they do at the site's address."""


def main() -> None:
    """Does harm of the kind that the command line names, until SIGINT."""
    kind, address = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(KeyboardInterrupt):
        KINDS[kind](address)


if __name__ == "__main__":
    main()
