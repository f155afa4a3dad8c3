"""The machines of a stack, reached as root with the stack's own key and pinned host keys."""

from __future__ import annotations

import argparse
import functools
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.plan.topology import Role
from components.steps.pinned_ssh import ssh_command

REFUSED, NO_STACK = 2, 3
"""Exit statuses of every script that refuses, and of one that finds no cluster to ask."""


DEFAULT_STACK = "dev"

_SILENT_SECONDS = 15
"""How long a machine may say nothing until it is asked whether it is there; after three such times it is not."""


class NoClusterError(Exception):
    """The stack does not exist, or its cluster is not up."""


class RefusalError(Exception):
    """It is not to be done, or cannot be, and nothing was changed."""


class Machines:
    """The machines of a stack that is up.

    Attributes:
        stack: Its name.
        outputs: What it tells of them, secrets included.
    """

    def __init__(self, stack: str, outputs: Mapping[str, Any], folder: Path, connect_seconds: int) -> None:
        self.stack, self.outputs = stack, outputs
        self._folder, self._connect_seconds = folder, connect_seconds

    def names(self, role: Role | None = None) -> list[str]:
        """All of them, or those of one role."""
        machines: Mapping[str, Mapping[str, Any]] = self.outputs["machines"]
        return [name for name, machine in machines.items() if role is None or machine["role"] == role.value]

    def command(self, name: str, *words: str) -> list[str]:
        """The words that run a program on a machine as root."""
        login = self.outputs["machines"][name]["login"]
        key, known_hosts = self.outputs["sshPrivateKey"], self.outputs["knownHosts"]
        ssh = ssh_command(self._folder / name, key, known_hosts, self._connect_seconds, login["through"])
        as_root = [] if login["user"] == "root" else ["sudo", "--non-interactive"]
        # One that loses its power says nothing any more, and who reads from it, as a backup does, would wait for hours.
        ssh.append(f"-oServerAliveInterval={_SILENT_SECONDS}")
        return [*ssh, f"{login['user']}@{login['host']}", shlex.join([*as_root, *words])]

    def run(self, name: str, *words: str, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """What the program says; status 255 and why, if the machine does not answer in time."""
        command = self.command(name, *words)
        try:
            return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 255, "", f"no answer within {seconds:g} s")

    def run_on(
        self, names: Sequence[str], *words: str, stdin: str = "", seconds: float = 60
    ) -> dict[str, subprocess.CompletedProcess[str]]:
        """The same on several machines at once."""
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            answers = pool.map(lambda name: self.run(name, *words, stdin=stdin, seconds=seconds), names)
            return dict(zip(names, answers, strict=True))


def script(name: str, stack: str) -> str:
    """How a person types one of the project's scripts for a stack."""
    return f"scripts/{name}" if stack == DEFAULT_STACK else f"scripts/{name} --stack {stack}"


def last_line(answer: subprocess.CompletedProcess[str]) -> str:
    """Why a program failed, in its own words."""
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {answer.returncode}"


def parser_for(name: str, description: str) -> argparse.ArgumentParser:
    """What every script for a stack takes: which one."""
    parser = argparse.ArgumentParser(prog=f"scripts/{name}", description=description)
    parser.add_argument("--stack", default=DEFAULT_STACK, help=f"name of the stack (default: {DEFAULT_STACK})")
    return parser


def says_why(main: Callable[[], int]) -> Callable[[], int]:
    """A script's `main` that says, and tells by its exit status, that it was refused or has no cluster to ask."""

    @functools.wraps(main)
    def told() -> int:
        try:
            return main()
        except (NoClusterError, RefusalError) as problem:
            print(problem, file=sys.stderr)
            return NO_STACK if isinstance(problem, NoClusterError) else REFUSED

    return told


@contextmanager
def machines_of(stack: str, connect_seconds: int = 5) -> Iterator[Machines]:
    """The machines of a stack.

    Raises:
        NoClusterError: there are none.
    """
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    outputs: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    if not outputs.get("machines"):
        raise NoClusterError(f"the stack {stack} has no cluster that is up; make up builds one")
    with tempfile.TemporaryDirectory() as folder:
        yield Machines(stack, outputs, Path(folder), connect_seconds)
