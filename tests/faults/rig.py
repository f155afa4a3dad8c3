"""A cluster under test, and the questions that the faults and the checks ask about it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from components.plan.topology import BALANCERS, VOLUME
from components.substrates.local.identity import default_network
from scripts.stack import StackError
from tests.commands import PROJECT
from tests.faults.alerts import Alerts
from tests.stack.cluster import NOTED_BY_ARBITER, SESSION_SERVICE_TELLS, Cluster, wait_for

SITE = Path(__file__).parent / "site"

PHP_NODES = ("php1", "php2")

RECORDS = "cd /session/brick && find . -path ./.glusterfs -prune -o -type f -exec sha256sum {} + | sort"
"""Names and checksums of what lies on a brick, Gluster's own bookkeeping left out."""

SERVERS = "echo show stat | socat - UNIX-CONNECT:/run/haproxy/admin.sock | cut -d , -f 1,2,18"
"""What a machine's HAProxy thinks of its servers, as lines `BACKEND,SERVER,STATE`."""


def configuration(profile: str) -> dict[str, str]:
    """The settings of a cluster that is put to the test; `log` is profile `safe` with the log of sessions."""
    kept = {"profile": "safe", "sessionStore": "log"} if profile == "log" else {"profile": profile}
    return {"phpNodes": str(len(PHP_NODES)), **kept, "appDir": str(SITE.relative_to(PROJECT))}


def exempt_watchers(cluster: Cluster) -> None:
    """Before `up`: those who are watched stand for visitors of many addresses, and have one, this box's."""
    box = IPv4Network(default_network(cluster.name))[1]
    cluster.configure({"limits.exempt[0]": f"{box}/32"})


@dataclass
class Rig:
    """A cluster that is up.

    Attributes:
        cluster: The stack.
        active: The balancer that held the floating IP when `look` was called.
        spare: The other one.
        alerts: Of a Prometheus that watches the cluster, if one does.
    """

    cluster: Cluster
    active: str = ""
    spare: str = ""
    alerts: Alerts | None = None

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, as they were at first."""
        return self.cluster.outputs()

    @property
    def address(self) -> str:
        """The floating IP."""
        return str(self.outputs["floatingIp"])

    @property
    def machines(self) -> list[str]:
        """Names of all machines."""
        return list(self.outputs["machines"])

    def prepare(self) -> None:
        """Makes what the cluster has beyond the program's own, after `up`: nothing."""

    def make_anew(self) -> None:
        """Destroys the cluster, whatever state it is in, and builds it again."""
        self.cluster.destroy()
        self.cluster.up()
        self.prepare()

    def lab(self, verb: str, *arguments: str) -> str:
        """Runs a script of the lab on this stack."""
        return self.cluster.lab_command(verb, *arguments)

    def inside(self, machine: str, command: str) -> str:
        """Runs a shell command on a machine, whatever its network does."""
        return self.cluster.enter(machine, command)

    def owners(self) -> list[str]:
        """The balancers that hold the floating IP; one that is off holds nothing."""
        return [name for name in BALANCERS if self._says(name, "ip -oneline address", f" {self.address}/")]

    def look(self) -> None:
        """Notes which balancer is active now, so that a fault need not ask when its moment has come.

        Raises:
            AssertionError: None is, or both are, for longer than a switch takes.
        """
        [self.active] = wait_for("one balancer holds the floating IP", self._one_owner)
        [self.spare] = set(BALANCERS) - {self.active}

    def _one_owner(self) -> list[str]:
        owners = self.owners()
        return owners if len(owners) == 1 else []

    def pending(self) -> int | None:
        """Number of entries that wait to be healed, over all bricks; None while a brick cannot tell."""
        for balancer in BALANCERS:
            try:
                said = self.inside(balancer, f"timeout 20 gluster --mode=script volume heal {VOLUME} info")
            except StackError:
                continue
            counts = re.findall(r"^Number of entries: (.*)$", said, flags=re.MULTILINE)
            if len(counts) == self._bricks and all(count.strip().isdigit() for count in counts):
                return sum(map(int, counts))
        return None

    def room(self) -> dict[str, float]:
        """Balancer to the share of its brick's disk that is free."""
        told = {name: self.inside(name, "df --output=avail,size /session | tail --lines=1") for name in BALANCERS}
        return {name: int(free) / int(size) for name, (free, size) in ((n, said.split()) for n, said in told.items())}

    def outdated(self) -> str:
        """Which brick the arbiter takes for outdated; empty: none."""
        try:
            noted = self.inside("php1", NOTED_BY_ARBITER)
        except StackError:
            return "the arbiter cannot be asked"
        return f"the arbiter takes a brick for outdated: {noted.strip()}" if noted.strip() else ""

    def differing(self) -> str:
        """How the records on the two bricks differ; empty: not at all."""
        try:
            one, other = (self._records(balancer) for balancer in BALANCERS)
        except StackError:
            return "a brick cannot be read"
        alone = one.keys() ^ other.keys()
        unlike = [name for name in one.keys() & other.keys() if one[name] != other[name]]
        if not alone and not unlike:
            return ""
        return f"{len(unlike)} of {len(one)} records differ between the bricks, {len(alone)} are on one of them only"

    def _records(self, balancer: str) -> dict[str, str]:
        """Name to checksum."""
        pairs = [line.split(maxsplit=1) for line in self.inside(balancer, RECORDS).splitlines()]
        return {name: checksum for checksum, name in pairs}

    def complaints(self) -> list[str]:
        """What is not as it should be; empty for a cluster that is whole."""
        owners, pending = self.owners(), self.pending()
        told = (
            [] if pending == 0 else ["a brick is away" if pending is None else f"{pending} entries wait to be healed"]
        )
        told += [outdated] if (outdated := self.outdated()) else []
        told += [] if len(owners) == 1 else [f"the floating IP is held by {' and '.join(owners) or 'nobody'}"]
        told += [] if self.in_service() else ["the balancers do not see all PHP nodes"]
        return told + ([differing] if (differing := self.differing()) else [])

    def writer(self) -> str:
        """The PHP node that writes the log of sessions.

        Raises:
            AssertionError: None does, for longer than it takes to find one.
        """

        def found() -> list[str]:
            return [node for node in PHP_NODES if self._says(node, SESSION_SERVICE_TELLS, '"writes": true')]

        return wait_for("a node writes the log", found)[0]

    def in_service(self) -> bool:
        """Whether both balancers see all PHP nodes up."""
        return all(self._says(balancer, SERVERS, *(f"php,{node},UP" for node in PHP_NODES)) for balancer in BALANCERS)

    def differences(self) -> str:
        """What `pulumi preview --expect-no-changes` finds; empty: nothing."""
        done = self.cluster.pulumi("preview", "--expect-no-changes", "--stack", self.cluster.name, check=False)
        if done.returncode == 0 and "warning" not in done.stdout:
            return ""
        told = re.findall(r"warning: (.*)$", done.stdout, flags=re.MULTILINE)
        return "; ".join(dict.fromkeys(told)) or done.stdout[-500:] + done.stderr[-500:]

    @cached_property
    def _bricks(self) -> int:
        return sum(line.startswith("Brick") and line[5].isdigit() for line in self.outputs["volumeInfo"].splitlines())

    def _says(self, machine: str, command: str, *words: str) -> bool:
        try:
            said = self.inside(machine, command)
        except (StackError, subprocess.SubprocessError):
            return False
        return all(word in said for word in words)
