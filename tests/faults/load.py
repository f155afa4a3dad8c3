"""Many clients at once, who store updates in their sessions, over and over, and note what they are told."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.history import CONNECTION, NO_ANSWER, SERVED, Attempt, History

PATIENCE = 2.0
"""Seconds after which a client gives up on a request and asks again."""

PAUSE_AFTER_ERROR = 0.1
"""Seconds from an error to the next try: nobody hammers faster than that."""

UPDATES_PER_SESSION = 300
"""Then a visitor begins a new session: the page keeps every update, and records should stay of ordinary size."""

PASSING_UPDATES = 5
"""Of visitors who soon leave: what they stored last is not written again, so nothing hides that it got lost."""


@dataclass(frozen=True)
class Response:
    """An HTTP answer."""

    status: int
    cookie: str
    body: bytes


async def get(address: str, path: str, cookie: str) -> Response:
    """One GET over a connection of its own.

    Raises:
        OSError: No connection, or it ended before the answer was complete.
    """
    reader, writer = await asyncio.open_connection(address, 80)
    try:
        sent = f"Cookie: PHPSESSID={cookie}\r\n" if cookie else ""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{sent}\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        # Without a goodbye: what a dead machine has not taken would otherwise be waited for.
        writer.transport.abort()
    try:
        return _parsed(head.decode("latin-1"), body)
    except (ValueError, IndexError) as problem:
        raise ConnectionError(f"half an answer, or none: {problem}") from problem


def _parsed(head: str, body: bytes) -> Response:
    status, *lines = head.split("\r\n")
    headers = [line.partition(": ")[::2] for line in lines]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
    chunked = any(name.lower() == "transfer-encoding" and value == "chunked" for name, value in headers)
    if chunked:
        body = _joined(body)
    elif length is not None and len(body) < length:
        raise ValueError("the body is cut off")
    cookie = next(
        (
            value.removeprefix("PHPSESSID=").partition(";")[0]
            for name, value in headers
            if name.lower() == "set-cookie" and value.startswith("PHPSESSID=")
        ),
        "",
    )
    return Response(int(status.split()[1]), cookie, body)


def _joined(chunks: bytes) -> bytes:
    body = b""
    while True:
        size, _, chunks = chunks.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return body
        if len(chunks) < length:
            raise ValueError("a chunk is cut off")
        body, chunks = body + chunks[:length], chunks[length + 2 :]


@dataclass
class Session:
    """One session, as its visitor knows it.

    Attributes:
        name: For the history.
        cookie: Empty until an answer has brought it; then it stays, whatever else answers bring.
    """

    name: str
    cookie: str = ""


class Visitor:
    """Somebody with one session at a time, in one browser window or several."""

    def __init__(self, name: str, updates: int) -> None:
        self.name, self.updates = name, updates
        self.sessions: list[Session] = []
        self.beginning = asyncio.Lock()
        self.begin_session()

    def begin_session(self) -> None:
        """Forgets the cookie."""
        self.sessions.append(Session(f"{self.name}/{len(self.sessions) + 1}"))


@dataclass(frozen=True)
class Crowd:
    """Visitors who behave alike.

    Attributes:
        name: Of the crowd.
        visitors: How many; each has a session.
        windows: How many clients use one session at once.
        think: Longest pause after an answer, in seconds; half of it on average.
        updates: After how many of them a visitor begins a new session.
    """

    name: str
    visitors: int
    windows: int = 1
    think: float = 0.0
    updates: int = UPDATES_PER_SESSION


CROWDS = (
    Crowd("thinking", visitors=14, think=0.6),
    Crowd("passing", visitors=4, think=0.6, updates=PASSING_UPDATES),
    Crowd("hasty", visitors=2),
    Crowd("sharing", visitors=3, windows=3, think=0.6),
    Crowd("sharing-hastily", visitors=1, windows=2),
)
"""Together some 100 requests a second on a box with two cores, which are then busy but not overrun."""


class Load:
    """Clients in a thread of their own, from `start` to `stop`.

    Args:
        address: Where the site answers, on port 80.
        seed: Of the pauses.
        crowds: Who they are.
    """

    def __init__(self, address: str, seed: str, crowds: Sequence[Crowd] = CROWDS) -> None:
        self._address, self._crowds = address, crowds
        self._random = random.Random(seed)  # noqa: S311  # no secret
        self._zero = time.monotonic()
        self._enough = threading.Event()
        self._problem: BaseException | None = None
        self._visitors: list[Visitor] = []
        self._thread = threading.Thread(target=self._run, name="load")
        self.history = History()

    def now(self) -> float:
        """Seconds on the history's clock."""
        return time.monotonic() - self._zero

    def start(self) -> None:
        """Sends everybody off."""
        self._thread.start()

    def stop(self) -> None:
        """Lets everybody finish what was begun.

        Raises:
            BaseException: A mistake in this program; whatever the site does is in the history.
        """
        self._enough.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def read_back(self, nodes: Collection[str], seconds: float) -> None:
        """Fills in what each session holds now, as each of the nodes sees it.

        What cannot be read within `seconds` is left out.
        """
        asyncio.run(self._read_back(nodes, self.now() + seconds))

    def _run(self) -> None:
        try:
            asyncio.run(self._everybody())
        except BaseException as problem:
            self._problem = problem

    async def _everybody(self) -> None:
        async with asyncio.TaskGroup() as group:
            for crowd in self._crowds:
                for number in range(1, crowd.visitors + 1):
                    visitor = Visitor(f"{crowd.name}-{number}", crowd.updates)
                    self._visitors.append(visitor)
                    for window in range(1, crowd.windows + 1):
                        group.create_task(self._client(f"{visitor.name}.{window}", visitor, crowd.think))

    async def _client(self, name: str, visitor: Visitor, think: float) -> None:
        asked_since = None
        await asyncio.sleep(self._random.uniform(0, think))
        for number in itertools.count(1):
            if self._enough.is_set():
                return
            asked_since = self.now() if asked_since is None else asked_since
            attempt = await self._attempt(name, visitor, f"{name}:{number}", asked_since)
            self.history.attempts.append(attempt)
            if attempt.served:
                asked_since = None
            await asyncio.sleep(self._random.uniform(0, think) if attempt.served else PAUSE_AFTER_ERROR)

    async def _attempt(self, client: str, visitor: Visitor, update: str, asked_since: float) -> Attempt:
        if not visitor.sessions[-1].cookie:
            # One window begins the session, the others wait for its cookie.
            async with visitor.beginning:
                if not visitor.sessions[-1].cookie:
                    return await self._ask(client, visitor.sessions[-1], update, asked_since)
        session = visitor.sessions[-1]
        attempt = await self._ask(client, session, update, asked_since)
        if attempt.count >= visitor.updates and visitor.sessions[-1] is session:
            visitor.begin_session()
        return attempt

    async def _ask(self, client: str, session: Session, update: str, asked_since: float) -> Attempt:
        begin, cookie = self.now(), session.cookie
        told: dict[str, Any] = {}
        brought = ""
        try:
            answer = await asyncio.wait_for(get(self._address, f"/?update={update}", cookie), PATIENCE)
            outcome, brought = str(answer.status), answer.cookie
            if answer.status == 200:
                outcome, told = SERVED, json.loads(answer.body)
        except TimeoutError:
            outcome = NO_ANSWER
        except (OSError, ValueError):
            outcome = CONNECTION
        if told and brought and not session.cookie:
            session.cookie = brought
            self.history.ids[session.name] = hashlib.sha256(brought.encode()).hexdigest()[:12]
        return Attempt(
            begin=begin,
            end=self.now(),
            client=client,
            session=session.name,
            update=update,
            asked_since=asked_since,
            outcome=outcome,
            count=told.get("count", 0),
            node=told.get("node", ""),
            balancer=told.get("balancer", ""),
            replaced=bool(cookie and brought and brought != cookie),
        )

    async def _read_back(self, nodes: Collection[str], deadline: float) -> None:
        for session in [session for visitor in self._visitors for session in visitor.sessions if session.cookie]:
            seen: dict[str, list[str]] = {}
            while set(nodes) - seen.keys() and self.now() < deadline:
                try:
                    answer = await asyncio.wait_for(get(self._address, "/", session.cookie), PATIENCE)
                    told = json.loads(answer.body) if answer.status == 200 else {}
                except (OSError, ValueError):
                    told = {}
                if told:
                    seen.setdefault(told["node"], told["updates"])
                else:
                    await asyncio.sleep(PAUSE_AFTER_ERROR)
            self.history.held[session.name] = list(seen.values())
