"""What has become of the machines since the last update, looked at whenever the program runs.

Commands have no read: the engine compares a step's inputs with those of the last run and never looks at the machine. So
the program looks, before it asks for any step, and gives a step that has to run again a reason among its inputs:

- Each machine keeps the steps that ran on it (`/var/lib/php-cluster/steps`). Run with CHECK=yes, a step changes nothing
  and names the first difference between what it would leave behind and what it finds.
- A substrate that can tell says which machines are off, or gone with their disks.

A reason stays an input of its step until there is another one, so that a step that has been mended shows no changes.
A machine that cannot be reached keeps its reasons: looking can only add work, and a preview from afar shows what one
from here shows.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi

from components.steps.host_scripts import HOST_SCRIPTS
from components.steps.last_update import LastUpdate
from components.steps.pinned_ssh import ssh_command

OFF, GONE = "off", "gone"
"""States of a machine that a substrate may tell of: it has no power, or neither it nor its disk exists any more."""

States = Mapping[str, str]
"""Name of a machine to its state; one that is not in it is taken for running."""

CONNECT_SECONDS = 3
"""A machine that does not answer by then is left out, so that a preview with dead machines stays quick."""

CHECK_SECONDS = 30

SCRIPTS_FOLDER = "/var/lib/php-cluster/scripts"
"""Where a machine keeps the host scripts, older versions too: a step that is to be run again there needs its own."""

SCRIPTS = "-scripts"
"""What brings them there, by its name after that of the machine."""

_REASON = re.compile(r" \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)$")
_REPLACED = " replaced"
"""Tells the reason to replace a step from the one to run it again."""

CHECK_ALL_STEPS = (HOST_SCRIPTS / "steps" / "check-all.sh").read_text()


class Drift:
    """Reasons to run steps again."""

    def __init__(
        self,
        last: LastUpdate,
        states: States | None = None,
        reasons: Mapping[str, str] | None = None,
        rollbacks: Mapping[str, str] | None = None,
    ) -> None:
        """Knows what was found.

        Args:
            last: What the last update left; the reasons that steps ran with, too.
            states: Machines that do not run.
            reasons: Step to the difference that was found.
            rollbacks: Release of the site to the one to which it was rolled back.
        """
        self.last = last
        self.rollbacks: Mapping[str, str] = rollbacks or {}
        self._states = dict(states or {})
        self._reasons = reasons or {}
        self._before = reasons_in(last)
        self._given: dict[str, str] = {}
        self._seen: set[str] = set()

    @property
    def gone(self) -> frozenset[str]:
        """The machines that do not exist any more."""
        return frozenset(machine for machine, state in self._states.items() if state == GONE)

    def lose(self, machine: str) -> None:
        """Takes a machine for gone: nothing on it is as the last update left it."""
        self._states[machine] = GONE

    def reason(self, step: str, machine: str, again_with: str = "") -> str:
        """Why a step on a machine has to run again: an input of it. Empty when it never had to.

        A machine that is started again has its steps look after what they made; one that is made again is another
        machine, and gets all its steps for that. `again_with` is a step asked for before: when something was seen that
        makes that one run again, this one does, too.
        """
        is_off = self._states.get(machine) == OFF
        found = f"{machine} is off" if is_off else self._reasons.get(step)
        if found is None and again_with in self._seen:
            found = f"{again_with} does"
        return self._judge(step, found)

    def supply_reason(self, step: str, user: str) -> str:
        """Why a step has to be replaced: the step `user`, which uses up what it makes, has to run again.

        A trigger of it, if not empty.
        """
        return self._judge(step + _REPLACED, self._reasons.get(user))

    def off_reason(self, step: str, machine: str) -> str:
        """Why the step that makes a machine has to run again: an input of it."""
        return self._judge(step, f"{machine} is off" if self._states.get(machine) == OFF else None)

    def gone_reason(self, step: str, machine: str) -> str:
        """Why the step that makes a machine has to be replaced: a trigger of it, if not empty."""
        return self._judge(step + _REPLACED, f"{machine} is gone" if self._states.get(machine) == GONE else None)

    def _judge(self, step: str, reason: str | None) -> str:
        if step not in self._given:
            if reason is None:
                self._given[step] = self._before.get(step, "")
            else:
                self._seen.add(step)
                again = "is made again" if step.endswith(_REPLACED) else "runs again"
                pulumi.log.warn(f"{step.removesuffix(_REPLACED)} {again}: {reason}")
                # The time makes it another reason than that of last month.
                self._given[step] = f"{reason} ({datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ})"
        return self._given[step]


def look(last: LastUpdate, machine_states: Callable[[tuple[str, ...]], States], replaced: str = "") -> Drift:
    """Looks at the machines of the last update.

    Args:
        last: What it left.
        machine_states: The substrate's own look at machines with these names.
        replaced: A machine that is about to be another one, which gets all its steps for that.
    """
    machines = last.connections
    states = machine_states(tuple(machines)) if machines else {}
    running = {name: connection for name, connection in machines.items() if name not in {*states, replaced}}
    reasons, rolled_back = _check(running)
    return Drift(last, states, reasons, rolled_back)


def reasons_in(last: LastUpdate) -> dict[str, str]:
    """The reasons with which commands ran last: a variable of a step or of what makes a machine, or a trigger."""
    reasons = {}
    for name in last.names:
        if (reason := last.variable(name, "REASON")) is not None:
            reasons[name] = reason
        elif given := last.environment(name).get("REASON"):
            reasons[name] = given
        for cause in last.triggers(name):
            if _REASON.search(cause):
                reasons[name + _REPLACED] = cause
    return reasons


def _check(machines: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Asks every machine at once for its steps that have to run again, and for rollbacks."""
    if not machines:
        return {}, {}
    reasons: dict[str, str] = {}
    rolled_back: dict[str, str] = {}
    with ThreadPoolExecutor(len(machines)) as pool:
        for name, said in zip(machines, pool.map(lambda one: _ask(one[0], one[1]), machines.items()), strict=True):
            found = differences(said)
            if lost := next((reason for reason in found.values() if f"{SCRIPTS_FOLDER}/" in reason), None):
                found[name + SCRIPTS] = lost
            reasons |= found
            rolled_back |= rollbacks(said)
    return reasons, rolled_back


def _ask(name: str, connection: Mapping[str, Any]) -> str:
    """What `CHECK_ALL_STEPS` prints on a machine; nothing if it cannot be reached."""
    address, user = connection["host"], connection.get("user") or "root"
    with tempfile.TemporaryDirectory() as folder:
        known_hosts, through = f"{address} {connection['hostKey']}", ""
        if proxy := connection.get("proxy"):
            known_hosts += f"\n{proxy['host']} {proxy['hostKey']}"
            through = f"{proxy.get('user') or 'root'}@{proxy['host']}"
        ssh = ssh_command(Path(folder), connection["privateKey"], known_hosts, CONNECT_SECONDS, through)
        shell = "bash -s" if user == "root" else "sudo --non-interactive bash -s"
        try:
            done = subprocess.run(
                [*ssh, f"{user}@{address}", shell],
                input=CHECK_ALL_STEPS,
                capture_output=True,
                text=True,
                check=False,
                timeout=CONNECT_SECONDS + CHECK_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            pulumi.log.warn(f"what runs on {name} is not seen: {problem}")
            return ""
    if done.returncode != 0:
        pulumi.log.warn(f"what runs on {name} is not seen: {done.stderr.strip()}")
    return done.stdout


def differences(said: str) -> dict[str, str]:
    """Step to difference, from what `CHECK_ALL_STEPS` printed on a machine."""
    return {one["step"]: one["reason"] for one in _objects(said) if "step" in one}


def rollbacks(said: str) -> dict[str, str]:
    """Release from which the site was rolled back to the one that serves, from what `CHECK_ALL_STEPS` printed."""
    return {one["rolled_back_from"]: one["to"] for one in _objects(said) if "to" in one}


def _objects(said: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]
