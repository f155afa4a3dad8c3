"""In place of the volume: a Redis with a replica and Sentinel, as Redis' documentation has it, put to the same test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.plan.topology import BALANCERS
from scripts.stack import StackError
from tests.commands import PROJECT
from tests.faults.rig import PHP_NODES, SERVERS, Rig
from tests.stack.cluster import wait_for

FOLDER = Path(__file__).parent / "redis"

SETTINGS = {
    "redis": (),
    "redis-strict": ("appendfsync always", "min-replicas-to-write 1", "min-replicas-max-lag 10"),
}
"""Each profile's lines of redis.conf; both write a log of changes. The second is for those who would rather have errors
than losses: each change is forced to the disk, and a master whose replica is away takes none."""

SENTINELS = (*BALANCERS, PHP_NODES[0])
"""On the same machines as bricks and arbiter."""

MASTER_OF_SENTINEL = "timeout 2 redis-cli -p 26379 sentinel get-master-addr-by-name mymaster | head --lines=1"
REPLICATION = "timeout 2 redis-cli info replication"


def configuration() -> dict[str, str]:
    """The cluster that carries it: of profile `article`, whose nodes do not ask for a mount to be called well."""
    return {
        "phpNodes": str(len(PHP_NODES)),
        "profile": "article",
        "appDir": str((FOLDER / "site").relative_to(PROJECT)),
        "extraPackages[0]": "php-redis",
        # The site is switched to before there is a Redis.
        "healthPath": "/alive.txt",
    }


@dataclass
class RedisRig(Rig):
    """A cluster whose pages keep their sessions in Redis; the volume is there, and nobody uses it.

    The master is on the active balancer when a fault comes, so that faults of the active balancer are the master's too.

    Attributes:
        settings: Lines of redis.conf.
    """

    settings: Sequence[str] = ()

    def prepare(self) -> None:
        """Starts Redis on the balancers, Sentinel beside bricks and arbiter, and HAProxy on the PHP nodes."""
        addresses = {name: machine["address"] for name, machine in self.outputs["machines"].items()}
        master = addresses[BALANCERS[0]]
        for balancer in BALANCERS:
            lines = [*self.settings, *([f"replicaof {master} 6379"] if addresses[balancer] != master else [])]
            self._run(balancer, "server.sh", {"SETTINGS": "\n".join(lines)})
        for machine in SENTINELS:
            self._run(machine, "sentinel.sh", {"MASTER": master})
        servers = "\n".join(f"{balancer} {addresses[balancer]}" for balancer in BALANCERS)
        for node in PHP_NODES:
            self._run(node, "node.sh", {"SERVERS": servers})
        wait_for("Redis, its replica and three Sentinels have found each other", lambda: not self._of_redis())

    def look(self) -> None:
        """Notes which balancer is active, and has Sentinel make the Redis there the master."""
        super().look()
        if self._master() != self.active:
            self.switch_master()
            wait_for("the master is on the active balancer", lambda: self._master() == self.active)
            wait_for("the other one is its replica", lambda: not self._of_redis())

    def switch_master(self) -> None:
        """Has Sentinel make the replica the master, as before an upgrade."""
        self.inside(PHP_NODES[0], "redis-cli -p 26379 sentinel failover mymaster")

    def pending(self) -> int | None:
        """0: all Sentinels name one master, and the other Redis has all that it has; None: not so."""
        return None if self._of_replication() else 0

    def differences(self) -> str:
        """Nothing: what Redis does is none of the program's business."""
        return ""

    def complaints(self) -> list[str]:
        """What is not as it should be; empty for a cluster that is whole."""
        owners = self.owners()
        told = [] if len(owners) == 1 else [f"the floating IP is held by {' and '.join(owners) or 'nobody'}"]
        told += [] if self.in_service() else ["the balancers do not see all PHP nodes"]
        return told + self._of_redis()

    def _of_redis(self) -> list[str]:
        if told := self._of_replication():
            return told
        seen = {node: self._seen_by(node) for node in PHP_NODES}
        return [
            f"{node} takes {' and '.join(masters) or 'nobody'} for the master"
            for node, masters in seen.items()
            if masters != [self._master()]
        ]

    def _of_replication(self) -> list[str]:
        named = {machine: self._named_by(machine) for machine in SENTINELS}
        [master, *others] = set(named.values())
        if others or not master:
            return [f"Sentinels name as master: {', '.join(f'{m}: {name}' for m, name in named.items())}"]
        [replica] = set(BALANCERS) - {master}
        if not self._says(master, REPLICATION, "role:master", "state=online"):
            return [f"{master} has no replica"]
        up = self._says(replica, REPLICATION, "role:slave", "master_link_status:up")
        return [] if up else [f"{replica} does not follow"]

    def _master(self) -> str:
        return self._named_by(PHP_NODES[0])

    def _named_by(self, machine: str) -> str:
        """The balancer whose Redis a Sentinel takes for the master; empty: it cannot be asked."""
        try:
            address = self.inside(machine, MASTER_OF_SENTINEL).strip()
        except StackError:
            return ""
        return next((name for name in BALANCERS if self.outputs["machines"][name]["address"] == address), "")

    def _seen_by(self, node: str) -> list[str]:
        """The balancers to whose Redis a PHP node's requests go."""
        try:
            said = self.inside(node, SERVERS)
        except StackError:
            return []
        return [name for name in BALANCERS if re.search(rf"^redis,{name},UP", said, flags=re.MULTILINE)]

    def _run(self, machine: str, script: str, variables: Mapping[str, str]) -> None:
        assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
        self.inside(machine, assignments + (FOLDER / script).read_text())
