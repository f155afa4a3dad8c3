"""A stack that is measured: a state of its own in a temporary folder, and nothing left of it in the end."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from components.plan.settings import PROJECT_FOLDER
from scripts.benchmark.timeline import Event
from scripts.stack import Stack, StackError

_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Update:
    """One `pulumi up`.

    Attributes:
        seconds: From the start of the process to its end.
        events: What the engine told meanwhile.
    """

    seconds: float
    events: list[Event]


class BenchStack(Stack):
    """A stack for as long as the `with` block lasts; its machines are gone afterwards, whatever happens in there.

    Attributes:
        folder: A temporary folder for whatever belongs to the stack.
    """

    def __init__(
        self,
        config: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
        checkout: Path = PROJECT_FOLDER,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="php-cluster-"))
        # Without it the engine does not know the option --event-log.
        variables = {"PULUMI_DEBUG_COMMANDS": "true", **(variables or {})}
        name = f"bench-{secrets.token_hex(3)}"
        try:
            super().__init__(self.folder / "state", config, name, checkout, variables=variables)
        except BaseException:
            self.remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def make_image(self) -> None:
        """Makes the machines' image and nothing else, so that no measurement has to."""
        targets = [word for name in ("local", "image") for word in ("--target", f"**::{name}")]
        self.pulumi("up", "--yes", "--skip-preview", "--stack", self.name, *targets)

    def up(self) -> Update:
        """Runs `pulumi up` and listens to what the engine tells."""
        log, events = self.folder / "events", []
        log.unlink(missing_ok=True)
        command = ["pulumi", "--non-interactive", "--color", "never", "up", "--yes", "--skip-preview"]
        start = time.monotonic()
        # Into a file, since nobody reads a pipe meanwhile.
        with (
            (self.folder / "said").open("w+") as said,
            self.running(*command, "--stack", self.name, "--event-log", str(log), output=said) as process,
        ):
            reader = _EventReader(log, start)
            while process.poll() is None:
                events += reader.new_events()
                time.sleep(_POLL_SECONDS)
            seconds = time.monotonic() - start
            events += reader.new_events()
            if process.returncode != 0:
                said.seek(0)
                raise StackError(f"pulumi up failed:\n{said.read()}")
        return Update(seconds, events)

    def cpu_seconds(self) -> dict[tuple[str, str], float]:
        """CPU time used so far: (machine, service) to seconds; the service `-` is the whole machine."""
        lines = [line.split() for line in self.lab_command("cpu").splitlines()]
        return {(machine, service): int(used) / 1e6 for machine, service, used in lines}

    def remove_machines(self) -> None:
        """Machines and network go, whoever made them; the state does not hear of it."""
        done = self.run("scripts/lab/sweep", "--matching", self.name)
        if done.returncode != 0:
            raise StackError(f"the machines could not be removed:\n{done.stdout}{done.stderr}")

    def remove(self) -> None:
        """Machines, state and settings go."""
        # Somebody who presses Ctrl-C once more would leave machines behind.
        ignored = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            self.remove_machines()
        finally:
            (self.checkout / f"Pulumi.{self.name}.yaml").unlink(missing_ok=True)
            shutil.rmtree(self.folder)
            for number, before in ignored:
                signal.signal(number, before)


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
