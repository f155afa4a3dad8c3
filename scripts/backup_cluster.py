"""Backups of a cluster that serves."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from components.plan.settings import PROJECT_FOLDER
from components.plan.topology import Role
from components.sessions.log import SOCKET, UNIT
from components.steps.host_scripts import HOST_SCRIPTS
from scripts.backup_repository import LAST_FILE, BackupError, Repository, Snapshot
from scripts.machines import Machines, RefusalError, last_line, machines_of, parser_for, says_why

WELL, INCOMPLETE = 0, 1

LAST_BACKUP = "/var/lib/php-cluster/last-backup"
"""On the balancers: when the last backup began, of which nothing is missing, in seconds since 1970."""

_WRITER_SECONDS = 15
"""When the writer of a log has ended, another one writes after less."""

_HOST_SCRIPT = Path(__file__).parent / "backup_host.sh"


def on_node(machines: Machines, node: str, *words: str, keep_newer: bool = False) -> list[str]:
    """The words that have a PHP node do a part of it, as `scripts/backup_host.sh` has them."""
    variables = {
        "EXPORT_PHP": (HOST_SCRIPTS / "sessions" / "export_sessions.php").read_text(),
        "IMPORT_PHP": (HOST_SCRIPTS / "sessions" / "import_sessions.php").read_text(),
        "SERVICE": SOCKET,
        "LOG_UNIT": UNIT,
        "LAST": LAST_FILE,
        "KEEP_NEWER": "yes" if keep_newer else "no",
    }
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()) + _HOST_SCRIPT.read_text()
    # Standard input is the archive's.
    return machines.command(node, "bash", "-c", text, "bash", *words)


def ready_node(machines: Machines) -> str:
    """The first PHP node that has the sessions mounted; of a log the one that writes, which knows all of it at once.

    Where nobody says that he writes, one that follows: it can store sessions, and refuses to export them.

    Raises:
        RefusalError: none has.
    """
    deadline = time.monotonic() + _WRITER_SECONDS
    while True:
        problems, following = [], []
        for node in machines.names(Role.PHP):
            command = on_node(machines, node, "ready")
            answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            if answer.returncode == 0 and not answer.stdout:
                return node
            if answer.returncode == 0:
                following.append(node)
                continue
            problems.append(f"{node}: {last_line(answer)}")
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    if following:
        return following[0]
    raise RefusalError(f"no PHP node is ready: {'; '.join(problems)}")


def archive(files: Mapping[str, bytes]) -> IO[bytes]:
    """A tar archive of these files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archived:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            archived.addfile(entry, io.BytesIO(content))
    made.seek(0)
    return made


def state_and_settings(stack: str) -> dict[str, bytes]:
    """The stack's state, whose secrets stay encrypted, and its settings."""
    export = subprocess.run(["pulumi", "stack", "export", "--stack", stack], capture_output=True, check=False)
    if export.returncode != 0:
        raise BackupError(f"pulumi stack export: {export.stderr.decode().strip()}")
    settings = f"Pulumi.{stack}.yaml"
    return {"cluster/stack.json": export.stdout, f"cluster/{settings}": (PROJECT_FOLDER / settings).read_bytes()}


@contextmanager
def exported(machines: Machines, node: str, *part: str) -> Iterator[tuple[IO[bytes], list[str]]]:
    """A part as the node tells it, and what the node says beside it, which is there at the end.

    Raises:
        BackupError: the node could not tell all of it.
    """
    said: list[str] = []
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            on_node(machines, node, "export", *part), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            yield cast(IO[bytes], process.stdout), said
            status = process.wait()
        finally:
            process.kill()
        errors.seek(0)
        said += errors.read().decode().splitlines()
        if status != 0:
            raise BackupError(
                f"{node} has not told all of its {part[0]}: {said[-1] if said else f'exit status {status}'}"
            )


def back_up(machines: Machines, repository: Repository) -> tuple[Snapshot, list[str]]:
    """Saves the cluster.

    Returns:
        The backup, and what is not in it.
    """
    node = ready_node(machines)
    counts: dict[str, int] = {}
    missing: list[str] = []

    def parts() -> Iterator[IO[bytes]]:
        yield archive(state_and_settings(machines.stack))
        for part in ("site", "sessions", "files"):
            with exported(machines, node, part) as (stream, said):
                yield stream
            if part == "sessions":
                *problems, told = said
                counts.update(json.loads(told))
                missing.extend(line for line in problems if line.startswith("session "))
            elif part == "files":
                counts["files"] = sum(int(line.split()[3]) for line in said if line.startswith("Total bytes written: "))
        yield archive({LAST_FILE: json.dumps(counts).encode()})

    return repository.save(parts(), counts), missing


def tell_balancers(machines: Machines, began: float) -> None:
    """Leaves a note of a backup where metrics and status look, which need not know this box."""
    told = machines.run_on(machines.names(Role.LOAD_BALANCER), "tee", LAST_BACKUP, stdin=f"{int(began)}\n")
    for name, answer in told.items():
        if answer.returncode != 0:
            print(f"{name} does not know of it: {last_line(answer)}", file=sys.stderr)


def line_of(snapshot: Snapshot) -> str:
    """As a person reads it."""
    sessions, files = snapshot.counts["sessions"], snapshot.counts["files"] / 1e6
    when = snapshot.time[:19].replace("T", " ")
    return f"{snapshot.name}  {when}  {sessions} sessions, {files:.1f} MB of shared files"


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("backup", "Saves a cluster that serves.")
    parser.add_argument("words", nargs="+", metavar="[list] WHERE", help="a folder, or sftp://USER@HOST[:PORT]//FOLDER")
    parser.add_argument("--keep", type=int, metavar="N", help="remove all but the last N of this stack")
    asked = parser.parse_args()
    *command, where = asked.words
    if command not in ([], ["list"]):
        parser.error(f"{' '.join(asked.words)}: it is `list WHERE` or WHERE")
    if asked.keep is not None and asked.keep < 1:
        raise RefusalError(f"--keep is {asked.keep}, and must be 1 or more backups")
    repository = Repository(where, asked.stack)
    try:
        if command:
            repository.open()
            for each in repository.snapshots():
                print(line_of(each))
            return WELL
        with machines_of(asked.stack) as machines:
            repository.open(create=True)
            began = time.time()
            snapshot, missing = back_up(machines, repository)
            print(line_of(snapshot))
            if not missing:
                tell_balancers(machines, began)
            if asked.keep:
                repository.forget(asked.keep)
    except BackupError as problem:
        print(f"{problem}; earlier backups are as they were", file=sys.stderr)
        return INCOMPLETE
    for line in missing:
        print(line, file=sys.stderr)
    return INCOMPLETE if missing else WELL


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
