"""What the machines are like, asked of all of them at once before anything is made."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from components.plan.packages import packages_of
from components.plan.settings import PROJECT_FOLDER, Settings
from components.plan.topology import PlannedMachine, Role, SessionStore, Topology
from components.plan.traffic import ports_between, ports_listened
from components.steps.pinned_ssh import ssh_command
from components.substrates import clocks
from components.substrates.existing.settings import ExistingSettings

FACTS_SCRIPT = PROJECT_FOLDER / "scripts" / "existing" / "facts.sh"
OWN_UPDATES = PROJECT_FOLDER / "scripts" / "own_updates.sh"

CONNECT_SECONDS = 5
ANSWER_SECONDS = 60


@dataclass
class Facts:
    """What one machine said.

    Attributes:
        said: Name of a fact to its values, in the order in which they were said.
        clock: The least and the most that its clock can be ahead of this box's, in seconds.
        failure: Why there is nothing to judge: `unreachable`, `host key`, `login`, `sudo`, `broken`; empty if there is.
        words: What the client said when it failed.
    """

    said: dict[str, list[str]] = field(default_factory=dict)
    clock: tuple[float, float] | None = None
    failure: str = ""
    words: str = ""

    def one(self, name: str) -> str:
        """The value of a fact that is said once; empty if it was not."""
        return self.all(name)[0] if name in self.said else ""

    def all(self, name: str) -> Sequence[str]:
        """Every value of a fact."""
        return self.said.get(name, [])

    @property
    def owner(self) -> str:
        """The word of the stack whose mark it has; empty if it has none."""
        return self.one("owner").partition(" ")[0]


def ssh_to(existing: ExistingSettings, name: str, private_key: str, folder: Path) -> list[str]:
    """The words to put before a shell command for a machine; `folder` must stay as long as it runs."""
    machine, bastion = existing.by_name[name], existing.bastion
    known_hosts, through = f"{machine.address} {machine.host_key}", ""
    if bastion:
        known_hosts += f"\n{bastion.host} {bastion.host_key}"
        through = f"{bastion.user}@{bastion.host}"
    client = ssh_command(folder, private_key, known_hosts, CONNECT_SECONDS, through)
    return [*client, f"{existing.user}@{machine.address}"]


def questions(
    settings: Settings, existing: ExistingSettings, plan: Topology, planned: PlannedMachine, known: Iterable[str]
) -> str:
    """The shell text that asks a machine. To machines that an update has reached before, it need not look for a way."""
    serves, acme = planned.role is Role.PHP, settings.acme is not None
    log = settings.session_store is SessionStore.LOG
    peers = [
        f"{other.name} {other.address} {port}"
        for other in plan.machines
        if other.name not in set(known)
        for port in ports_between(planned, other, acme=acme, log=log)
    ]
    metrics = bool(settings.metrics_from)
    variables = {
        "SERVES": "yes" if serves else "no",
        "BRICK": existing.brick if planned.has_brick else "",
        "FLOATING_IP": "" if serves else plan.floating_ip or "",
        "FLOATING_IP6": "" if serves else plan.floating_ip6 or "",
        "PACKAGES": " ".join(packages_of(planned, settings.extra_packages, metrics=metrics, acme=acme)),
        "PORTS": " ".join(map(str, ports_listened(planned, metrics=metrics, log=log))),
        "PEERS": "\n".join(peers),
    }
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    return assignments + OWN_UPDATES.read_text() + FACTS_SCRIPT.read_text()


def ask_all(
    settings: Settings, existing: ExistingSettings, plan: Topology, private_key: str, known: Iterable[str]
) -> dict[str, Facts]:
    """Asks every machine at once."""
    with ThreadPoolExecutor(len(plan.machines)) as pool:
        asked = {
            planned.name: pool.submit(
                _ask, existing, planned.name, private_key, questions(settings, existing, plan, planned, known)
            )
            for planned in plan.machines
        }
        return {name: answer.result() for name, answer in asked.items()}


def _ask(existing: ExistingSettings, name: str, private_key: str, text: str) -> Facts:
    shell = "bash -s" if existing.user == "root" else "sudo --non-interactive bash -s"
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        before = time.time()
        with subprocess.Popen(
            [*ssh_to(existing, name, private_key, Path(folder)), shell],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            to_it, from_it, complaining = process.stdin, process.stdout, process.stderr
            if to_it is None or from_it is None or complaining is None:
                raise ValueError("all three were asked for")
            complaints = pool.submit(complaining.read)
            limit = threading.Timer(ANSWER_SECONDS, process.kill)
            limit.start()
            # One that leaves before it has read all says why.
            with suppress(BrokenPipeError):
                to_it.write(text)
                to_it.close()
            # Its first line is its clock.
            line, after = from_it.readline(), time.time()
            facts, words = parse(line + from_it.read()), complaints.result()
            limit.cancel()
    if clock := facts.one("clock"):
        facts.clock = clocks.ahead(clock, before, after)
    facts.failure, facts.words = failure_of(existing.by_name[name].address, facts, words), words.strip()
    return facts


def parse(text: str) -> Facts:
    """Facts from what a machine printed."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value)
    return Facts(said)


def failure_of(address: str, facts: Facts, words: str) -> str:
    """Why a machine did not say all that it was asked."""
    if "end" in facts.said:
        return ""
    if re.search(rf"(Host key for|host key is known for) {re.escape(address)} ", words):
        return "host key"
    if "Host key verification failed" in words:
        return "bastion host key"
    if "Permission denied" in words:
        return "login"
    if "sudo" in words:
        return "sudo"
    return "broken" if facts.said else "unreachable"


def unreachable(found: Mapping[str, Facts]) -> list[str]:
    """The machines that did not answer at all."""
    return [name for name, facts in found.items() if facts.failure == "unreachable"]
