"""A stack that a program builds and removes: a state of its own, the `pulumi` command, the project's scripts."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from components.plan.settings import PROJECT_FOLDER

_ENDING_SECONDS = 10
"""How long an interrupted engine may take to end its steps, before it is told again and at last killed."""


class StackError(Exception):
    """A command failed; the text is what it said."""


@dataclass
class Stack:
    """One stack of this checkout or another one, with a backend of its own.

    Attributes:
        backend: Folder of the state.
        config: Settings.
        name: Of the stack.
        checkout: The project's folder.
        exists: Whether an earlier run has made it.
        variables: What its commands find in their environment, beside that of this process.
    """

    backend: Path
    config: Mapping[str, str]
    name: str = field(default_factory=lambda: f"test-{secrets.token_hex(3)}")
    checkout: Path = PROJECT_FOLDER
    exists: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.backend.mkdir(mode=0o700, exist_ok=True)
        # Not selected: a user's shell goes on with the stack that it works on.
        if not self.exists:
            self.pulumi("stack", "init", self.name, "--no-select", "--secrets-provider", "passphrase")
        self.configure(self.config)

    @property
    def environment(self) -> dict[str, str]:
        """That of its commands."""
        return {**os.environ, "PULUMI_BACKEND_URL": f"file://{self.backend}", **self.variables}

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command of the project on this stack's state; output, errors and status are the caller's to judge."""
        with self.running(*command) as process:
            said, errors = process.communicate(stdin)
        return subprocess.CompletedProcess(command, process.returncode, said, errors)

    @contextlib.contextmanager
    def running(self, *command: str, output: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """The same while it runs, with a file for its output; it has ended when the block is left, however that was."""
        process = subprocess.Popen(
            command,
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if output else subprocess.PIPE,
            text=True,
            # Ctrl-C is for this program, which then ends the engine.
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                # Once asks an engine to end its steps, twice to end at once.
                for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
                    if process.poll() is not None:
                        break
                    process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_ENDING_SECONDS)

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`pulumi` with these arguments.

        Raises:
            StackError: It failed, and `check` is true.
        """
        done = self.run("pulumi", "--non-interactive", "--color", "never", *arguments)
        if check and done.returncode != 0:
            # What failed comes last, and a log that is cut in the middle should still have it.
            diagnostics = done.stdout.partition("\nDiagnostics:\n")[2].partition("\nOutputs:\n")[0]
            raise StackError(
                f"pulumi {' '.join(arguments)} failed:\n{diagnostics}\n{done.stderr}\nall of it:\n{done.stdout}"
            )
        return done

    def configure(self, values: Mapping[str, str]) -> None:
        """Sets config keys; `name[0]` is the first of a list."""
        for key, value in values.items():
            self.pulumi("config", "set", "--path", key, "--stack", self.name, "--", value)

    def export(self) -> dict[str, Any]:
        """The state, secrets included."""
        text = self.pulumi("stack", "export", "--show-secrets", "--stack", self.name).stdout
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    def outputs(self) -> dict[str, Any]:
        """What the program says of the stack, secrets included."""
        text = self.pulumi("stack", "output", "--json", "--show-secrets", "--stack", self.name).stdout
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    def status(self, *options: str) -> subprocess.CompletedProcess[str]:
        """What scripts/status says; its exit status is the caller's to judge."""
        return self.run("scripts/status", "--stack", self.name, *options)

    def lab_command(self, verb: str, *arguments: str, stdin: str = "") -> str:
        """What a script of the lab prints.

        Raises:
            StackError: It failed.
        """
        done = self.run(f"scripts/lab/{verb}", "--stack", self.name, *arguments, stdin=stdin)
        if done.returncode != 0:
            raise StackError(f"scripts/lab/{verb} {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def enter(self, machine: str, script: str) -> str:
        """Runs a shell script on a machine as root, without SSH: also when its link is cut. What it prints."""
        return self.lab_command("enter", machine, "bash", "-c", script)

    def destroy(self) -> str:
        """`pulumi destroy`; what it prints."""
        return self.pulumi("destroy", "--yes", "--skip-preview", "--stack", self.name).stdout

    def remove(self) -> None:
        """Takes everything down, whatever state a failed program left."""
        self.destroy()
        self.pulumi("stack", "rm", "--yes", self.name)
