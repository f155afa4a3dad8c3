"""Visitors: first each gets a session on every node, then wrk sends them as fast as they are answered."""

from __future__ import annotations

import http.client
import http.cookies
import os
import resource
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.sessions.stores import FOLDER, Store
from scripts.stack import StackError

SESSIONS = 128
"""Of each store: more than there are connections, so that a session rests between two requests."""

ANYWHERE = "-"
"""In place of a node's name, where it does not matter which one answers."""


@dataclass(frozen=True)
class Run:
    """One run of wrk.

    Attributes:
        requests: Answered.
        seconds: How long it took.
        p50: Half of the requests were answered within this time, in milliseconds.
        p99: 99 of 100.
        errors: Connections that failed, and answers that did not come.
        wrong: Answers that were no page, or showed another count than the session should have: an update was lost.
        example: What was wrong with one of them.
        load_cpu: CPU time of wrk in seconds.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int
    wrong: int
    example: str
    load_cpu: float

    @property
    def failures(self) -> int:
        """Requests that were not answered, or wrongly."""
        return self.errors + self.wrong

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds


class Visitors:
    """Sessions of one store.

    Args:
        address: Where the site answers.
        store: Which one is asked for.
        nodes: The PHP nodes.
        folder: For what wrk reads and writes.
    """

    def __init__(self, address: str, store: Store, nodes: Collection[str], folder: Path) -> None:
        self._address, self._store, self._nodes = address, store, set(nodes)
        self._sessions, self._result = folder / f"{store.name}.sessions", folder / f"{store.name}.result"

    @property
    def store(self) -> str:
        """The name of the store that is asked for."""
        return self._store.name

    def begin(self) -> None:
        """Gives each visitor a session, known to every node.

        Raises:
            StackError: The site does not answer as it should.
        """
        connection = http.client.HTTPConnection(self._address, timeout=20)
        self._sessions.write_text("".join(self._begun(connection) for _ in range(SESSIONS)))
        connection.close()

    def _begun(self, connection: http.client.HTTPConnection) -> str:
        cookie, counts = "", {}
        seen: set[str] = set()
        while seen != self._nodes:
            connection.request("GET", "/", headers={"Host": self._store.name, "Cookie": cookie})
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200 or len(seen) > len(self._nodes):
                raise StackError(f"{self._store.name}: the page says {answer.status}: {text[:300]}")
            for morsel in http.cookies.SimpleCookie(answer.headers.get("Set-Cookie", "")).values():
                cookie = f"{morsel.key}={morsel.value}"
            identity, count, node = text.split()
            seen.add(node)
            counts[node if self._store.apart else ANYWHERE] = count
        return f"{identity} yes{''.join(f' {where} {count}' for where, count in counts.items())}\n"

    def ask(self, *, connections: int, updates: bool, seconds: int) -> Run:
        """Sends them for so long.

        Raises:
            StackError: wrk failed.
        """
        environment = {
            **os.environ,
            "BENCH_HOST": self._store.name,
            "BENCH_UPDATES": "yes" if updates else "no",
            "BENCH_APART": "yes" if self._store.apart else "no",
            "BENCH_SESSIONS": str(self._sessions),
            "BENCH_RESULT": str(self._result),
        }
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=20s"]
        before = _cpu_of_children()
        done = subprocess.run(
            [*command, f"--script={FOLDER / 'load.lua'}", f"http://{self._address}/"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        used = _cpu_of_children() - before
        if done.returncode != 0:
            raise StackError(f"wrk failed:\n{done.stdout}{done.stderr}")
        numbers, _, example = self._result.read_text().partition("\n")
        requests, took, p50, p99, errors, wrong = map(int, numbers.split())
        return Run(requests, took / 1e6, p50 / 1000, p99 / 1000, errors, wrong, example.strip(), used)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
