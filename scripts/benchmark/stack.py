"""A stack that is measured: a state of its own in a temporary folder, and nothing left of it in the end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from components.plan.settings import PROJECT_FOLDER
from scripts.benchmark.timeline import Event

_POLL_SECONDS = 0.01
_ENDING_SECONDS = 10
"""How long an interrupted engine may take to end its steps, before it is told again and at last killed."""


class StackError(Exception):
    """A command failed; the text is what it said."""


@dataclass(frozen=True)
class Update:
    """One `pulumi up`.

    Attributes:
        seconds: From the start of the process to its end.
        events: What the engine told meanwhile.
    """

    seconds: float
    events: list[Event]


class BenchStack:
    """A stack for as long as the `with` block lasts; its machines are gone afterwards, whatever happens in there.

    Attributes:
        name: Begins with `bench-`.
        folder: A temporary folder for whatever belongs to the stack.
    """

    def __init__(self, config: Mapping[str, str], environment: Mapping[str, str] | None = None) -> None:
        self.name = f"bench-{secrets.token_hex(3)}"
        self.folder = Path(tempfile.mkdtemp(prefix="php-cluster-"))
        backend = self.folder / "state"
        backend.mkdir(mode=0o700)
        self._environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{backend}",
            # Without it the engine does not know the option --event-log.
            "PULUMI_DEBUG_COMMANDS": "true",
            **(environment or {}),
        }
        self._config = config

    def __enter__(self) -> Self:
        try:
            # Not selected: a user's shell goes on with the stack that it works on.
            self._pulumi("stack", "init", self.name, "--no-select", "--secrets-provider", "passphrase")
            self.configure(self._config)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def configure(self, values: Mapping[str, str]) -> None:
        """Sets config keys; `name[0]` is the first of a list."""
        for key, value in values.items():
            self._pulumi("config", "set", "--path", key, "--stack", self.name, "--", value)

    def make_image(self) -> None:
        """Makes the machines' image and nothing else, so that no measurement has to."""
        targets = [word for name in ("local", "image") for word in ("--target", f"**::{name}")]
        self._pulumi("up", "--yes", "--skip-preview", "--stack", self.name, *targets)

    def up(self) -> Update:
        """Runs `pulumi up` and listens to what the engine tells."""
        log = self.folder / "events"
        log.unlink(missing_ok=True)
        events: list[Event] = []
        start = time.monotonic()
        command = ["up", "--yes", "--skip-preview", "--stack", self.name, "--event-log", str(log)]
        with (self.folder / "said").open("w+") as said, _process(command, self._environment, said) as process:
            reader = _EventReader(log, start)
            while process.poll() is None:
                events += reader.new_events()
                time.sleep(_POLL_SECONDS)
            seconds = time.monotonic() - start
            events += reader.new_events()
            if process.returncode != 0:
                said.seek(0)
                raise StackError(f"pulumi {' '.join(command)} failed:\n{said.read()}")
        return Update(seconds, events)

    def export(self) -> dict[str, Any]:
        """The state, secrets included."""
        file = self.folder / "export"
        self._pulumi("stack", "export", "--show-secrets", "--stack", self.name, "--file", str(file))
        parsed: dict[str, Any] = json.loads(file.read_text())
        return parsed

    def outputs(self) -> dict[str, Any]:
        """What the program says of the stack, secrets left out."""
        parsed: dict[str, Any] = json.loads(self._pulumi("stack", "output", "--json", "--stack", self.name))
        return parsed

    def status(self) -> str:
        """What scripts/status shows of the cluster, well or not."""
        done = subprocess.run(
            ["scripts/status", "--stack", self.name],
            cwd=PROJECT_FOLDER,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def enter(self, machine: str, script: str) -> str:
        """Runs a shell script on a machine as root, and returns what it printed."""
        return self._lab("enter", "--stack", self.name, machine, "bash", "-s", stdin=script)

    def cpu_seconds(self) -> dict[tuple[str, str], float]:
        """CPU time used so far: (machine, service) to seconds; the service `-` is the whole machine."""
        lines = [line.split() for line in self._lab("cpu", "--stack", self.name).splitlines()]
        return {(machine, service): int(used) / 1e6 for machine, service, used in lines}

    def remove_machines(self) -> None:
        """Machines and network go, whoever made them; the state does not hear of it."""
        self._lab("sweep", "--matching", self.name)

    def _lab(self, verb: str, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [f"scripts/lab/{verb}", *arguments],
            cwd=PROJECT_FOLDER,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"scripts/lab/{verb} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _remove(self) -> None:
        # Somebody who presses Ctrl-C once more would leave machines behind.
        ignored = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            self.remove_machines()
        finally:
            (PROJECT_FOLDER / f"Pulumi.{self.name}.yaml").unlink(missing_ok=True)
            shutil.rmtree(self.folder)
            for number, before in ignored:
                signal.signal(number, before)

    def _pulumi(self, *arguments: str) -> str:
        with (self.folder / "said").open("w+") as said, _process(arguments, self._environment, said) as process:
            failed = process.wait() != 0
            said.seek(0)
            if failed:
                raise StackError(f"pulumi {' '.join(arguments)} failed:\n{said.read()}")
            return said.read()


@contextlib.contextmanager
def _process(
    arguments: Sequence[str], environment: Mapping[str, str], said: TextIO
) -> Iterator[subprocess.Popen[bytes]]:
    """`pulumi` with these arguments; it has ended when the block is left, by an exception too."""
    process = subprocess.Popen(
        ["pulumi", "--non-interactive", "--color", "never", *arguments],
        cwd=PROJECT_FOLDER,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        # Ctrl-C is for this program, which then ends the engine.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # Once asks it to end its steps, twice to end at once.
        for attempt in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
            if process.poll() is not None:
                break
            process.send_signal(attempt)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_SECONDS)


class _EventReader:
    """Reads a growing event log; its own times are whole seconds, so that the arrival counts."""

    def __init__(self, log: Path, start: float) -> None:
        self._log, self._start, self._position = log, start, 0

    def new_events(self) -> list[Event]:
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._position)
            # The last line may be half written; it is read again with its other half.
            complete = file.read().rpartition(b"\n")[0]
        if not complete:
            return []
        at = time.monotonic() - self._start
        self._position += len(complete) + 1
        return [Event(at, json.loads(line)) for line in complete.splitlines()]
