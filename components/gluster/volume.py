"""The trusted storage pool and the replicated volume, the article's Gluster steps by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.plan import topology
from components.plan.topology import Topology
from components.steps.machine import Machine
from components.steps.remote import remote_step


def volume_layout(plan: Topology) -> str:
    """What `volume create` says before the transport."""
    replicas = f"replica {len(plan.brick_hosts)}"
    return f"{replicas} thin-arbiter 1" if plan.arbiter else replicas


def _id_in(said: str | None) -> str:
    """The volume's id, which the last line of volume-create.sh tells."""
    found = re.findall(r"\bid ([0-9a-f-]{36})\b", said or "")
    return found[-1] if found else ""


@dataclass(frozen=True)
class BrickHost:
    """A machine that will hold a brick, the step after which its packages are there, and those after which it and the
    other brick hosts trust each other, where they don't from the start."""

    machine: Machine
    installed: pulumi.Resource
    trusting: Sequence[pulumi.Resource] = ()


class TrustedPool(pulumi.ComponentResource):
    """The brick hosts as peers of one pool: a disk and a daemon on each, probed from both sides.

    Attributes:
        ready: The steps after which all are `Peer in Cluster (Connected)`.
        first: The machine on which the pool is managed.
        machines: The brick hosts.
    """

    first: Machine
    machines: list[Machine]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, hosts: Sequence[BrickHost], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("php-cluster:gluster:TrustedPool", name, None, opts)
        bricks = [
            remote_step(
                f"{host.machine.name}-brick",
                host.machine,
                "gluster/brick.sh",
                parent=self,
                variables={
                    "BRICK_SOURCE": host.machine.brick_source,
                    "BRICK_DISK": topology.SHARED_BRICK_DISK,
                    "BRICK": topology.BRICK,
                    "PEERS": " ".join(other.machine.name for other in hosts if other is not host),
                },
                files={"GLUSTERD_DROP_IN": "gluster/glusterd.drop-in.conf"},
                depends_on=[host.installed, *host.trusting],
            )
            for host in hosts
        ]
        self.machines = [host.machine for host in hosts]
        self.first = hosts[0].machine
        # One after the other: a pool takes one new peer at a time.
        probes: list[pulumi.Resource] = []
        for host in hosts[1:]:
            probes.append(self._probe(self.first, host.machine.name, [*bricks, *probes]))
        # The first host is known by its address until somebody who has met it probes it by name.
        probes.append(self._probe(hosts[1].machine, self.first.name, [probes[0]]))
        self.ready = [*bricks, *probes]
        self.register_outputs({"peers": [host.machine.name for host in hosts]})

    def _probe(self, machine: Machine, peer: str, depends_on: Sequence[pulumi.Resource]) -> pulumi.Resource:
        return remote_step(
            f"{machine.name}-peer-probe-{peer}",
            machine,
            "gluster/peer-probe.sh",
            parent=self,
            variables={"PEER": peer},
            depends_on=depends_on,
        )


class Volume(pulumi.ComponentResource):
    """A volume, `sessions` above all: created, and started once `start` was called.

    Attributes:
        created: The step after which it is there.
        id: By which Gluster knows it, whatever its name.
        restored: The steps after which no brick of it is one that a machine has lost.
        arbitrated: The step after which it has the arbiter that the profile asks for.
        configured: The step after which it takes some seconds to start, which are waiting: the time for work that needs
            the processors and that nothing waits for before.
        started: The step after which clients can mount it.
        whole: The step after which all bricks hold the same.
        revoked: The step after which nodes that left cannot connect any more, once `revoke` was called.
        identities: Of the brick hosts, separated by spaces; another one is a new machine.
        addresses: Of the machines that may connect to its bricks, separated by commas.
    """

    created: pulumi.Resource
    id: pulumi.Output[str]
    restored: Sequence[pulumi.Resource]
    arbitrated: pulumi.Resource
    configured: pulumi.Resource
    started: pulumi.Resource
    whole: pulumi.Resource
    revoked: pulumi.Resource
    identities: pulumi.Output[str]
    addresses: str

    def __init__(
        self,
        name: str,
        plan: Topology,
        options: Mapping[str, str],
        pool: TrustedPool,
        *,
        brick: str = topology.BRICK,
        tls: bool = False,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the volume from a pool, of a folder `brick` on each of its machines; one that is there gets its new
        layout `after` these steps. Steps of a volume that is not `sessions` begin with its name."""
        super().__init__("php-cluster:gluster:Volume", name, None, opts)
        self._name, self._prefix = name, "" if name == topology.VOLUME else f"{name}-"
        self._first = pool.first
        identities = pulumi.Output.all(*[host.identity for host in pool.machines]).apply(" ".join)
        layout = {
            "VOLUME": name,
            "LAYOUT": volume_layout(plan),
            "BRICKS": " ".join(f"{host.name}:{brick}" for host in plan.brick_hosts),
            "ARBITER": f"{plan.arbiter.name}:{topology.ARBITER_FOLDER}" if plan.arbiter else "",
        }
        lines = "".join(f"{key} {value}\n" for key, value in options.items())
        # Brick hosts show each other's bricks a password of the volume's own. Where TLS gives everybody a name, Gluster
        # does not look at it, and they would be strangers.
        clients = [*plan.php_nodes, *(plan.brick_hosts if tls else ())]
        self.addresses = ",".join(dict.fromkeys(machine.address for machine in clients))
        created = remote_step(
            f"{self._prefix}volume-create",
            pool.first,
            "gluster/volume-create.sh",
            parent=self,
            variables=layout,
            depends_on=[*pool.ready, *after],
        )
        self.id = created.stdout.apply(_id_in)
        self.created = created
        self.restored = [
            remote_step(
                f"{host.name}-{self._prefix}brick-restore",
                host,
                "gluster/brick-restore.sh",
                parent=self,
                variables={"VOLUME": name, "BRICK": brick},
                depends_on=[self.created],
            )
            for host in pool.machines
        ]
        self.identities = identities
        self._layout, self._options = layout, lines

    def arbitrate(self, after: Sequence[pulumi.Resource] = ()) -> None:
        """Gives the volume its arbiter, which runs `after` these steps, or takes it."""
        self.arbitrated = remote_step(
            f"{self._prefix}volume-arbiter",
            self._first,
            "gluster/volume-arbiter.sh",
            parent=self,
            variables={
                "VOLUME": self._name,
                "ARBITER": self._layout["ARBITER"],
                "ARBITER_PORT": str(topology.ARBITER_PORT),
            },
            files={"BRICKS_GO_ON_DROP_IN": "gluster/bricks-go-on.drop-in.conf"},
            # A brick that is put back has its daemon started again, and the pool takes one change at a time.
            depends_on=[*self.restored, *after],
        )

    def start(self, after: Sequence[pulumi.Resource] = ()) -> None:
        """Sets the options, starts the volume and has its bricks healed, `after` these steps.

        The nodes are admitted along with the options. One that leaves keeps its access until no request is on it:
        see `revoke`.
        """
        self.configured = remote_step(
            f"{self._prefix}volume-options",
            self._first,
            "gluster/volume-options.sh",
            parent=self,
            variables={"VOLUME": self._name, "OPTIONS": self._options, "ADDRESSES": self.addresses},
            depends_on=[self.arbitrated, *after],
        )
        # A new machine's brick, and one that was started anew for another layout, has to be there, and to be filled.
        looked_at: dict[str, pulumi.Input[str]] = {
            "VOLUME": self._name,
            "BRICK_HOSTS": self.identities,
            "LAYOUT": self._layout["LAYOUT"],
        }
        self.started = remote_step(
            f"{self._prefix}volume-start",
            self._first,
            "gluster/volume-start.sh",
            parent=self,
            variables=looked_at,
            depends_on=[self.configured],
        )
        self.whole = remote_step(
            f"{self._prefix}volume-heal",
            self._first,
            "gluster/volume-heal.sh",
            parent=self,
            variables=looked_at,
            # A brick that was lost may take its time to be filled.
            limit_seconds=3600,
            depends_on=[self.started],
        )

    def revoke(self, drained: Sequence[pulumi.Resource]) -> None:
        """Takes access from nodes that leave, after the steps that keep requests away from them."""
        self.revoked = remote_step(
            f"{self._prefix}volume-revoke",
            self._first,
            "gluster/volume-revoke.sh",
            parent=self,
            variables={"VOLUME": self._name, "ADDRESSES": self.addresses},
            depends_on=[self.whole, *drained],
        )

    def show(self) -> pulumi.Output[str]:
        """What `gluster volume info` says of it, once access is as it should be."""
        shown = remote_step(
            f"{self._prefix}volume-info",
            self._first,
            "gluster/volume-info.sh",
            parent=self,
            # What it shows depends on these, so it is shown again when they change.
            variables={**self._layout, "OPTIONS": self._options, "ADDRESSES": self.addresses},
            depends_on=[self.revoked],
            quiet=True,
        )
        self.register_outputs({"info": shown.stdout})
        return shown.stdout
