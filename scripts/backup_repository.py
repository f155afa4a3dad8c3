"""Where backups of clusters are: a repository of restic, in which each backup is one tar archive."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from scripts.machines import RefusalError

ARCHIVE = "cluster.tar"
LAST_FILE = "cluster/counts.json"
"""An archive is whole if it has this one, which is written when all else is in it."""

_COMPLETE = "complete"
_PASSWORDS = ("RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD", "RESTIC_PASSWORD_COMMAND")
_ENDING_SECONDS = 10


class BackupError(Exception):
    """It could not be done to the end."""


def from_caller(path: Path) -> Path:
    """A path as whoever called the script has typed it: by now this is another folder."""
    return Path(os.environ.get("CALLED_IN", ".")) / path


@dataclass(frozen=True)
class Snapshot:
    """A backup that is complete.

    Attributes:
        name: The first characters of restic's name for it.
        time: When it was begun, as restic writes it.
        counts: What is in it, by name.
    """

    name: str
    time: str
    counts: dict[str, int]


def snapshots_in(said: str) -> list[Snapshot]:
    """What `restic snapshots --json` printed, the oldest first. A backup that was interrupted is none."""
    found: list[dict[str, Any]] = json.loads(said) or []
    snapshots = []
    for each in found:
        tags = each.get("tags") or []
        counts = {name: int(number) for name, _, number in (tag.partition("=") for tag in tags) if number}
        if _COMPLETE in tags:
            snapshots.append(Snapshot(each["short_id"], each["time"], counts))
    return sorted(snapshots, key=lambda snapshot: snapshot.time)


def _interrupt(restic: subprocess.Popen[bytes]) -> None:
    """Ends it before its input ends, which it would take for the end of the archive."""
    restic.send_signal(signal.SIGINT)
    try:
        restic.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        restic.kill()


class Repository:
    """Backups of one stack, among those of others perhaps.

    Attributes:
        where: A folder, or another place that restic knows.
    """

    def __init__(self, where: str, stack: str) -> None:
        """Opens nothing yet.

        Raises:
            RefusalError: there is no restic, or no password.
        """
        self.where = where if ":" in where else str(from_caller(Path(where)))
        self._stack = stack
        if not shutil.which("restic"):
            raise RefusalError("restic is not installed on this box: apt-get install restic")
        if not any(os.environ.get(name) for name in _PASSWORDS):
            raise RefusalError(
                "the backup's password is not set: export RESTIC_PASSWORD_FILE=/root/backup-password, "
                "a file that also lies where this box is not"
            )

    def _command(self, *words: str) -> list[str]:
        return ["restic", "--repo", self.where, *words]

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*words), capture_output=True, text=True, check=False)

    @staticmethod
    def _why(done: subprocess.CompletedProcess[str]) -> str:
        return (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0]

    def _done(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode != 0:
            raise BackupError(f"restic {words[0]}: {self._why(done)}")
        return done.stdout

    def open(self, *, create: bool = False) -> None:
        """Looks whether it can be read.

        Args:
            create: Whether one is made where there is none.

        Raises:
            RefusalError: there is none, or the password is another one's.
        """
        opened = self._run("cat", "config")
        if opened.returncode != 0 and not (create and self._run("init").returncode == 0):
            raise RefusalError(f"{self.where}: {self._why(opened)}")
        # What interrupted runs have left; a lock of one that runs stays.
        self._run("unlock")

    def snapshots(self) -> list[Snapshot]:
        """The complete ones, the oldest first."""
        return snapshots_in(self._done("snapshots", "--json", "--host", self._stack))

    def find(self, name: str) -> Snapshot:
        """The one whose name begins so; the last one for an empty name.

        Raises:
            RefusalError: there is none, or more than one.
        """
        found = [snapshot for snapshot in self.snapshots() if snapshot.name.startswith(name)]
        if not found or (name and len(found) > 1):
            raise RefusalError(f"{self.where} has {len(found) or 'no'} backups of {self._stack} {name}".rstrip())
        return found[-1]

    def save(self, parts: Iterable[IO[bytes]], counts: dict[str, int]) -> Snapshot:
        """Saves archives one after the other as one.

        Args:
            parts: They are read in turn; an exception that they raise ends the backup, and none is left.
            counts: What is in them; read when all of them are.

        Raises:
            BackupError: restic failed.
        """
        run = f"unfinished-{secrets.token_hex(4)}"
        words = ("backup", "--quiet", "--stdin", "--stdin-filename", ARCHIVE, "--host", self._stack, "--tag", run)
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(self._command(*words), stdin=subprocess.PIPE, stderr=errors) as restic,
        ):
            archive = cast(IO[bytes], restic.stdin)
            try:
                for part in parts:
                    shutil.copyfileobj(part, archive, 1 << 20)
            except BrokenPipeError:
                pass  # It has ended, and says why.
            except BaseException:
                _interrupt(restic)
                raise
            with suppress(BrokenPipeError):
                archive.close()
            if restic.wait() != 0:
                errors.seek(0)
                raise BackupError(f"restic backup: {errors.read().decode().strip()}")
        # Whatever ended this program before, its input may have ended too early.
        tags = [word for name, number in counts.items() for word in ("--set", f"{name}={number}")]
        self._done("tag", "--host", self._stack, "--tag", run, "--set", _COMPLETE, *tags)
        return self.find("")

    def forget(self, keep: int) -> None:
        """Removes all but so many of the last ones, and what interrupted runs have left."""
        complete = {snapshot.name for snapshot in self.snapshots()}
        found = json.loads(self._done("snapshots", "--json", "--host", self._stack)) or []
        broken = [each["short_id"] for each in found if each["short_id"] not in complete]
        if broken:
            self._done("forget", *broken)
        self._done("forget", "--host", self._stack, "--group-by", "host", "--keep-last", str(keep), "--prune")

    def feed(self, snapshot: Snapshot, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a program that reads an archive; it may end before the archive does."""
        words = self._command("dump", snapshot.name, ARCHIVE)
        with tempfile.TemporaryFile() as errors, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors) as dump:
            done = subprocess.run(command, stdin=dump.stdout, capture_output=True, text=True, check=False)
            dump.kill()
            errors.seek(0)
            if done.returncode != 0 and (said := errors.read().decode().strip()):
                raise BackupError(f"restic dump: {said}")
        return done
