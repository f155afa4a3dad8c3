"""The floor: a finished stack's steps, done again without an engine."""

from __future__ import annotations

import asyncio
import contextlib
import graphlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.plan.settings import PROJECT_FOLDER
from components.steps.pinned_ssh import options
from scripts.benchmark.timeline import Span, name_of

LOCAL_COMMAND = "command:local:Command"
REMOTE_COMMAND = "command:remote:Command"
COPY = "command:remote:CopyToRemote"

CONNECT_SECONDS = 10
"""How long a machine may take to answer a login."""

_SPECIAL_VALUE = "4dabf18193072939515e22adb298388d"
"""The key by which a state's JSON tells that a value is of a special kind; every Pulumi has the same."""


class FloorError(Exception):
    """A step of the floor failed; the text says which, and what it said."""


@dataclass(frozen=True)
class Host:
    """Where a remote step runs.

    Attributes:
        address: IP address.
        user: To log in as.
        private_key: To log in with, in OpenSSH's format.
        host_key: What the machine must show, as known_hosts spells it.
    """

    address: str
    user: str
    private_key: str
    host_key: str


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        urn: The resource it is taken from.
        command: For a shell: on `host`, or on this box.
        stdin: What it reads: text, or a file of the project.
        environment: Variables of a local command.
        host: None for this box.
        needs: The URNs of the steps that must be done before, none of them without work of its own.
    """

    urn: str
    command: str
    stdin: str | Path
    environment: Mapping[str, str]
    host: Host | None
    needs: frozenset[str]


def revealed(value: Any) -> Any:
    """A value of `pulumi stack export --show-secrets`, with every secret in it unwrapped."""
    if isinstance(value, dict):
        if _SPECIAL_VALUE in value and "plaintext" in value:
            return revealed(json.loads(value["plaintext"]))
        return {key: revealed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [revealed(inner) for inner in value]
    return value


def needs_of(state: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """URN to the URNs that it depends on directly, from an exported state."""
    return {
        resource["urn"]: frozenset(resource.get("dependencies") or ()) for resource in state["deployment"]["resources"]
    }


def steps_of(state: Mapping[str, Any]) -> list[Step]:
    """The commands of an exported state, each after those that it depends on.

    Resources that need no command (keys, components) are left out; what depends on one depends on what that one needs.
    """
    resources = {
        resource["urn"]: resource
        for resource in state["deployment"]["resources"]
        if resource["type"] in (LOCAL_COMMAND, REMOTE_COMMAND, COPY)
    }
    needs = needs_of(state)

    def commands_before(urn: str) -> Iterator[str]:
        for needed in needs.get(urn, ()):
            if needed in resources:
                yield needed
            else:
                yield from commands_before(needed)

    graph = {urn: sorted(commands_before(urn)) for urn in resources}
    return [_step(resources[urn], frozenset(graph[urn])) for urn in graphlib.TopologicalSorter(graph).static_order()]


def _step(resource: Mapping[str, Any], needs: frozenset[str]) -> Step:
    inputs = revealed(resource["inputs"])
    urn, connection = resource["urn"], inputs.get("connection")
    host = None
    if connection is not None:
        host = Host(connection["host"], connection["user"], connection["privateKey"], connection["hostKey"])
    if resource["type"] == COPY:
        return Step(urn, f"cat >{inputs['remotePath']}", Path(inputs["source"]["path"]), {}, host, needs)
    return Step(urn, inputs["create"], inputs.get("stdin", ""), inputs.get("environment", {}), host, needs)


def ssh_options(folder: Path) -> list[str]:
    """What every `ssh` of the floor is told: shared connections, the keys of `prepare`, no settings of one's own."""
    told = {
        "IdentityFile": f'"{folder}/key-%h"',
        "ControlMaster": "auto",
        "ControlPath": f'"{folder}/connection-%h"',
        "ControlPersist": "yes",
    }
    return [*options(folder / "known_hosts", CONNECT_SECONDS), *[f"-o{key}={value}" for key, value in told.items()]]


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def prepare(steps: Sequence[Step], folder: Path) -> None:
    """Writes what the steps read into a folder that nobody else can enter: standard inputs, login keys, host keys."""
    hosts = {step.host for step in steps if step.host is not None}
    for host in hosts:
        _write_private(folder / f"key-{host.address}", host.private_key)
    _write_private(folder / "known_hosts", "".join(f"{host.address} {host.host_key}\n" for host in hosts))
    for step in steps:
        if isinstance(step.stdin, str):
            _write_private(folder / f"{name_of(step.urn)}.stdin", step.stdin)


async def _run(step: Step, folder: Path) -> None:
    command = ["/bin/sh", "-c", step.command]
    if step.host is not None:
        command = ["ssh", *ssh_options(folder), f"{step.host.user}@{step.host.address}", step.command]
    stdin = PROJECT_FOLDER / step.stdin if isinstance(step.stdin, Path) else folder / f"{name_of(step.urn)}.stdin"
    said = folder / f"{name_of(step.urn)}.said"
    with stdin.open("rb") as reading, said.open("wb") as writing:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=PROJECT_FOLDER,
            env={**os.environ, **step.environment},
            stdin=reading,
            # A file, not a pipe: what goes on in the background (a machine, a shared connection) would keep that open.
            stdout=writing,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this program, which then ends them.
            start_new_session=True,
        )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
            raise
    if status != 0:
        raise FloorError(f"the floor's step {name_of(step.urn)} ended with {status}:\n{said.read_text()}")


async def _run_all(steps: Sequence[Step], folder: Path) -> list[Span]:
    done = {step.urn: asyncio.Event() for step in steps}
    measured = []
    start = time.monotonic()

    async def run_in_turn(step: Step) -> None:
        for needed in step.needs:
            await done[needed].wait()
        begin = time.monotonic() - start
        await _run(step, folder)
        measured.append(Span(step.urn, begin, time.monotonic() - start))
        done[step.urn].set()

    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(run_in_turn(step))
    except ExceptionGroup as failures:
        # Not by except*, which wraps what is raised in it again, in some versions of Python.
        raise failures.exceptions[0] from None
    return measured


def run(steps: Sequence[Step], folder: Path) -> list[Span]:
    """Does all steps, side by side as far as their dependencies allow, and says how long each took.

    Args:
        steps: As `steps_of` orders them.
        folder: An empty one, readable by its owner alone.

    Raises:
        FloorError: a step failed; the others are ended.
    """
    prepare(steps, folder)
    try:
        return asyncio.run(_run_all(steps, folder))
    finally:
        _close_connections({step.host for step in steps if step.host is not None}, folder)


def _close_connections(hosts: Set[Host], folder: Path) -> None:
    """Ends the processes that hold the shared connections."""
    for host in hosts:
        if (folder / f"connection-{host.address}").exists():
            subprocess.run(
                ["ssh", *ssh_options(folder), "-O", "exit", f"{host.user}@{host.address}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
