"""`scripts/bench collector`: a volume full of sessions. How long it takes to list them, to count them for
`scripts/status`, and to collect those that have expired, and what visitors notice meanwhile.

The sessions were stored as by PHP's own handler, which is the quickest way to get so many; a session's form is nothing
that the collector looks at.
"""

from __future__ import annotations

import argparse
import http.client
import http.cookies
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from scripts.benchmark.report import table
from scripts.benchmark.sessions.measure import NODES, configuration
from scripts.benchmark.stack import BenchStack

VISITORS = 4
WRITERS = 4
"""Processes that fill the volume, on each node."""

FILL = r"""
fill() {
    runuser --user www-data -- php -r '
        [, $folder, $first, $last, $expired] = $argv;
        for ($number = (int) $first; $number < (int) $last; $number++) {
            $path = sprintf("%%s/sess_%%032d", $folder, $number);
            file_put_contents($path, "n|i:$number;") or exit(1);
            $number >= (int) $expired or touch($path, time() - 86400);
        }' -- /media/sessions "$1" "$2" %(expired)d
}
pids=()
for ((writer = 0; writer < %(writers)d; writer++)); do
    fill $((%(first)d + writer * %(share)d)) $((%(first)d + (writer + 1) * %(share)d)) &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
"""
LIST = """runuser --user www-data -- php -r '
    echo iterator_count(new FilesystemIterator("/media/sessions"));'"""
COLLECT = "systemctl start php-cluster-collect.service; journalctl --unit php-cluster-collect --lines 5 --output cat"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The words of this measurement."""
    collector = commands.add_parser("collector", help="a volume full of sessions: listing and collecting them")
    collector.set_defaults(measure=run)
    collector.add_argument("--sessions", type=int, default=100_000, help="in all (default: 100000)")
    collector.add_argument("--expired", type=int, default=10_000, help="of these (default: 10000)")


@dataclass
class Visits:
    """What visitors saw who never pause.

    Attributes:
        answers: As the page should be.
        wrong: Other answers, or none.
        longest: Seconds until an answer, at most.
        seconds: For how long they came.
    """

    answers: int = 0
    wrong: int = 0
    longest: float = 0
    seconds: float = 0

    def row(self, what: str) -> list[str]:
        """As a line of the table."""
        return [what, f"{self.answers / self.seconds:.0f}", f"{self.longest:.2f}", str(self.wrong)]


def timed(what: Callable[[], str]) -> tuple[float, str]:
    """The seconds that it took, and what came of it."""
    begin = time.monotonic()
    result = what()
    return time.monotonic() - begin, result


def filling(first: int, share: int, expired: int) -> str:
    """The script that stores so many sessions by each of the writers; those with the lowest numbers have expired."""
    return FILL % {"writers": WRITERS, "first": first, "share": share, "expired": expired}


@contextmanager
def visited(address: str) -> Iterator[Visits]:
    """Visitors who count in sessions of their own for as long as the block lasts."""
    visits, enough, lock = Visits(), threading.Event(), threading.Lock()

    def visit() -> None:
        connection, cookie, count = http.client.HTTPConnection(address, timeout=60), "", 0
        while not enough.is_set():
            began = time.monotonic()
            connection.request("GET", "/", headers={"Cookie": cookie})
            answer = connection.getresponse()
            words = answer.read().decode().split()
            for morsel in http.cookies.SimpleCookie(answer.headers.get("Set-Cookie", "")).values():
                cookie = f"{morsel.key}={morsel.value}"
            right, count = answer.status == 200 and words[1:2] == [str(count + 1)], count + 1
            with lock:
                visits.longest = max(visits.longest, time.monotonic() - began)
                visits.answers += right
                visits.wrong += not right

    began = time.monotonic()
    with ThreadPoolExecutor(VISITORS) as pool:
        visitors = [pool.submit(visit) for _ in range(VISITORS)]
        try:
            yield visits
        finally:
            enough.set()
            visits.seconds = time.monotonic() - began
    for visitor in visitors:
        visitor.result()


def _say(text: str) -> None:
    print(text, flush=True)


def run(asked: argparse.Namespace) -> int:
    """Measures on a stack of its own; the exit status."""
    with BenchStack(configuration()) as stack:
        _say(f"2+{len(NODES)} machines made in {stack.up().seconds:.0f} s")
        address = stack.outputs()["floatingIp"]
        with visited(address) as before:
            time.sleep(20)
        each = asked.sessions // (len(NODES) * WRITERS)
        began = time.monotonic()
        with ThreadPoolExecutor() as pool:
            scripts = [filling(index * WRITERS * each, each, asked.expired) for index in range(len(NODES))]
            list(pool.map(stack.enter, NODES, scripts))
        _say(f"{asked.sessions} sessions stored in {time.monotonic() - began:.0f} s, {asked.expired} of them expired")
        seconds, number = timed(lambda: stack.enter(NODES[0], LIST))
        _say(f"a node lists {number} names in {seconds:.1f} s")
        seconds, shown = timed(lambda: stack.status().stdout)
        counted = next((line for line in shown.splitlines() if line.startswith("sessions:")), "it does not know")
        _say(f"scripts/status takes {seconds:.1f} s: {counted}")
        with visited(address) as meanwhile:
            seconds, said = timed(lambda: stack.enter(NODES[0], COLLECT))
        removed = sum(int(line.split()[1]) for line in said.splitlines() if line.startswith("removed"))
        _say(f"the collector removes {removed} in {seconds:.0f} s: {removed / seconds:.0f} a second, beside visitors")
        seconds, _ = timed(lambda: stack.enter(NODES[0], COLLECT))
        _say(f"when there is nothing to remove, it takes {seconds:.0f} s")
    visits = [before.row("before"), meanwhile.row("while it collects")]
    _say(f"\n{table([f'{VISITORS} visitors', 'answers/s', 'longest wait, s', 'wrong'], visits)}")
    return 1 if before.wrong or meanwhile.wrong else 0
