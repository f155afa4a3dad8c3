"""The journals of all machines as one."""

from __future__ import annotations

import heapq
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from scripts.machines import Machines, machines_of, parser_for, says_why

WELL, INCOMPLETE = 0, 1

HOLD_SECONDS = 1.0
"""How long a new line waits for an earlier one of another machine."""


@dataclass(frozen=True, order=True)
class Line:
    """A line of a journal; lines are in order of time.

    Attributes:
        stamp: When the journal took it, by its machine's clock, in microseconds since 1970.
        machine: Who said it.
        text: What said it, and what.
    """

    stamp: int
    machine: str
    text: str = field(compare=False)

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.stamp / 1_000_000, UTC)
        return f"{when:%Y-%m-%dT%H:%M:%S.%f}Z {self.machine:<6} {self.text}"


def line_of(machine: str, entry: Mapping[str, Any]) -> Line:
    """From an entry as `journalctl --output=json` has it."""
    said = entry.get("MESSAGE") or ""
    # What is no text comes as a list of its bytes.
    text = bytes(said).decode(errors="replace") if isinstance(said, list) else str(said)
    # One line each, and nothing that a terminal would obey.
    shown = "".join(character if character.isprintable() else " " for character in text)
    return Line(
        int(entry["__REALTIME_TIMESTAMP"]),
        machine,
        f"{entry.get('SYSLOG_IDENTIFIER') or entry.get('_COMM', '-')}: {shown}",
    )


class Journal:
    """The journal of one machine, while it is told."""

    def __init__(self, machines: Machines, name: str, options: Sequence[str]) -> None:
        self.name = name
        words = ["env", "TZ=UTC", "journalctl", "--output=json", "--no-pager", "--quiet", *options]
        self._process = subprocess.Popen(
            machines.command(name, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __iter__(self) -> Iterator[Line]:
        for said in self._process.stdout or ():
            yield line_of(self.name, json.loads(said))

    def problem(self) -> str:
        """Why it ended before its end; empty if it did not."""
        said = self._process.communicate()[1].strip().splitlines()
        # Status 1 without a word: no entry is what --grep asks for.
        failed = bool(said) or self._process.returncode > 1
        return (said[-1] if said else f"exit status {self._process.returncode}") if failed else ""

    def end(self) -> None:
        """Stops it, whatever it still has to tell."""
        self._process.kill()
        self._process.communicate()


def as_they_come(journals: Iterable[Iterable[Line]]) -> Iterator[Line]:
    """Lines of journals that go on, each a moment after it came, so that most of them are in order."""
    arrived: queue.SimpleQueue[Line | None] = queue.SimpleQueue()

    def listen(journal: Iterable[Line]) -> None:
        for line in journal:
            arrived.put(line)
        arrived.put(None)

    listeners = [threading.Thread(target=listen, args=(journal,), daemon=True) for journal in journals]
    for listener in listeners:
        listener.start()
    waiting: list[tuple[Line, float]] = []
    telling = len(listeners)
    while telling or waiting:
        try:
            line = arrived.get(timeout=HOLD_SECONDS / 4)
        except queue.Empty:
            pass
        else:
            if line is None:
                telling -= 1
            else:
                heapq.heappush(waiting, (line, time.monotonic()))
        while waiting and (not telling or waiting[0][1] <= time.monotonic() - HOLD_SECONDS):
            yield heapq.heappop(waiting)[0]


def show(machines: Machines, options: Sequence[str], *, follow: bool) -> int:
    """Prints what they say."""
    journals = [Journal(machines, name, options) for name in machines.names()]
    try:
        for line in as_they_come(journals) if follow else heapq.merge(*journals):
            print(line, flush=follow)
        problems = {journal.name: problem for journal in journals if (problem := journal.problem())}
    finally:
        for journal in journals:
            journal.end()
    for name, problem in problems.items():
        print(f"{name}: {problem}", file=sys.stderr)
    return INCOMPLETE if problems else WELL


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("logs", "What the journals of all machines say.")
    parser.add_argument("--since", metavar="WHEN", help="as journalctl has it, in UTC (default: -1h; to follow: -1min)")
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("options", nargs="*", metavar="JOURNALCTL-OPTION", help="after --, as --identifier=haproxy")
    asked = parser.parse_args()
    since = asked.since or ("-1min" if asked.follow else "-1h")
    options = [f"--since={since}", *(["--follow"] if asked.follow else []), *asked.options]
    with machines_of(asked.stack) as machines:
        return show(machines, options, follow=asked.follow)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever reads has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
