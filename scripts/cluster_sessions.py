"""The sessions of a cluster, as a person asks for them."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from components.plan.topology import MOUNT_POINT, Role
from components.sessions.log import SOCKET, UNIT
from scripts.backup_cluster import exported, ready_node
from scripts.backup_repository import BackupError
from scripts.cluster_status import writer_line
from scripts.machines import Machines, RefusalError, last_line, machines_of, parser_for, says_why

WELL, INCOMPLETE = 0, 1

_PREFIX = "sessions/sess_"

_KNOWS = f"""\
[[ -e {UNIT} ]] || {{ echo null; exit 0; }}
[[ -S {SOCKET} ]] || {{ echo "its session service is down" >&2; exit 1; }}
PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 exec python3 -m session_service.ask {SOCKET}"""

_FILES = r"""
[[ -d /session/brick ]] || { echo "it has no brick" >&2; exit 1; }
find /session/brick -maxdepth 1 -name 'sess_*' -printf '%s %Ts\n' | awk '
    { bytes += $1; if (NR == 1 || $2 < first) first = $2; if ($2 > last) last = $2 }
    END { print NR, bytes + 0, first + 0, last + 0 }'"""


def _moment(seconds: float) -> str:
    return time.strftime("%F %T", time.localtime(seconds))


def log_lines(known: Mapping[str, Mapping[str, Any]], oldest: float | None) -> Iterator[str]:
    """What the session services know of the log, as a person reads it.

    Args:
        known: PHP node to what its service tells (`session_service.ask`).
        oldest: When the oldest segment was last written, in seconds since 1970, if that is known.
    """
    for name, told in known.items():
        if not told["writes"]:
            continue
        yield f"sessions: {told['sessions']} ({told['live'] / 1e6:.1f} MB), {told['known']} IDs known"
        yield f"log: written by {writer_line(name, told)}"
        when = f", last written {_moment(oldest)}" if oldest is not None else ""
        yield f"oldest segment: {told['first']}{when}; newest: {told['segment']}"
        yield f"now: {told['turns']} sessions in use, {told['waiting']} requests wait"
        if told["full"]:
            yield "! the bricks have too little room: new sessions are refused"
    if not any(told["writes"] for told in known.values()):
        yield "! nobody writes the log"
    for name, told in known.items():
        does = (
            "writes"
            if told["writes"]
            else "passes on"
            if told["linked"]
            else f"reaches no writer ({told['trouble'] or 'it looks for one'})"
        )
        yield f"{name:<6} {does:<10} {told['stored']} sessions, {told['memory'] / 1e6:.0f} MB of memory"


def _oldest(machines: Machines, known: Mapping[str, Mapping[str, Any]]) -> float | None:
    for name, told in known.items():
        if told["writes"]:
            path = f"{MOUNT_POINT}/log/segment-{told['first']:012}"
            answer = machines.run(name, "timeout", "5", "stat", "--format=%Y", path, seconds=15)
            return float(answer.stdout) if answer.returncode == 0 else None
    return None


def _show_files(machines: Machines) -> int:
    problems = []
    for balancer in machines.names(Role.LOAD_BALANCER):
        answer = machines.run(balancer, "bash", "-s", stdin=_FILES)
        if answer.returncode == 0:
            count, size, first, last = map(int, answer.stdout.split())
            print(f"sessions: {count}, a file each ({size / 1e6:.1f} MB on the brick of {balancer})")
            if count:
                print(f"last stored between {_moment(first)} and {_moment(last)}")
            return WELL
        problems.append(f"{balancer}: {last_line(answer)}")
    print(*problems, sep="\n", file=sys.stderr)
    return INCOMPLETE


def show(machines: Machines) -> int:
    """Prints what there is to tell; the exit status."""
    known: dict[str, Mapping[str, Any]] = {}
    problems, has_files = [], False
    for name, answer in machines.run_on(machines.names(Role.PHP), "bash", "-s", stdin=_KNOWS, seconds=15).items():
        if answer.returncode != 0:
            problems.append(f"{name}: {last_line(answer)}")
        elif (told := json.loads(answer.stdout)) is not None:
            known[name] = told
        else:
            has_files = True
    status = WELL
    if known:
        print(*log_lines(known, _oldest(machines, known)), sep="\n")
    elif has_files:
        status = _show_files(machines)
    for problem in problems:
        print(problem, file=sys.stderr)
    return INCOMPLETE if problems else status


def export(machines: Machines, wanted: str) -> int:
    """Writes a session's data to standard output; the exit status.

    Raises:
        RefusalError: none, or more than one, is named so.
    """
    if not re.fullmatch(r"[0-9a-f]{6,64}", wanted):
        raise RefusalError(f"{wanted} is no hash of a session, as logs name it: 0123456789ab")
    found = []
    try:
        with exported(machines, ready_node(machines), "sessions", wanted) as (stream, _):
            # A node that fails has told no archive, or a part of one, and says why at the end.
            with suppress(tarfile.ReadError), tarfile.open(fileobj=stream, mode="r|") as archive:
                for entry in archive:
                    if entry.name.startswith(_PREFIX) and (file := archive.extractfile(entry)) is not None:
                        found.append(file.read())
            stream.read()
    except BackupError as problem:
        print(problem, file=sys.stderr)
        return INCOMPLETE
    if len(found) != 1:
        raise RefusalError(f"{len(found) or 'no'} sessions have a hash that begins with {wanted}")
    sys.stdout.buffer.write(found[0])
    return WELL


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("sessions", "The sessions of a cluster.")
    parser.add_argument("words", nargs="*", metavar="export HASH", help="gives one session, by its name in logs")
    asked = parser.parse_args()
    if asked.words and (len(asked.words) != 2 or asked.words[0] != "export"):
        parser.error(f"{' '.join(asked.words)}: it is `export HASH` or nothing")
    with machines_of(asked.stack) as machines:
        return export(machines, asked.words[1]) if asked.words else show(machines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
