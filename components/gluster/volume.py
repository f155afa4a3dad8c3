"""The trusted storage pool and the replicated volume, the article's Gluster steps by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.plan import topology
from components.plan.topology import Topology
from components.plan.traffic import ARBITER_PORT
from components.steps.host import Host


def volume_layout(plan: Topology) -> str:
    """What `volume create` says before the transport."""
    replicas = f"replica {len(plan.balancers)}"
    return f"{replicas} thin-arbiter 1" if plan.arbiter else replicas


def _id_in(said: str | None) -> str:
    """The volume's id, which the last line of volume-create.sh tells."""
    found = re.findall(r"\bid ([0-9a-f-]{36})\b", said or "")
    return found[-1] if found else ""


def _older(hosts: Sequence[Host], step: str) -> list[Host]:
    """The hosts whose GlusterFS is older than another one's: those that have this step, where one cannot be asked."""
    versions = {host.name: host.machine.release.gluster for host in hosts if host.machine.release}
    if len(versions) < len(hosts):
        return [host for host in hosts if host.machine.drift.last.has(f"{host.name}-{step}")]
    return [host for host in hosts if versions[host.name] < max(versions.values())]


class TrustedPool(pulumi.ComponentResource):
    """The brick hosts as peers of one pool: a disk and a daemon on each, probed from both sides.

    Attributes:
        hosts: The brick hosts. The pool is managed on the first.
        ready: The steps after which all are `Peer in Cluster (Connected)`.
    """

    hosts: Sequence[Host]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, hosts: Sequence[Host], opts: pulumi.ResourceOptions | None = None) -> None:
        """Makes the pool of hosts that trust each other."""
        super().__init__("php-cluster:gluster:TrustedPool", name, None, opts)
        bricks = [
            host.step(
                f"{host.name}-brick",
                "gluster/brick.sh",
                parent=self,
                variables={
                    "BRICK_SOURCE": host.machine.brick_source,
                    "BRICK_DISK": topology.SHARED_BRICK_DISK,
                    "BRICK": topology.BRICK,
                    "PEERS": " ".join(other.name for other in hosts if other is not host),
                },
                files={"GLUSTERD_DROP_IN": "gluster/glusterd.drop-in.conf"},
            )
            for host in hosts
        ]
        first, second = hosts[:2]
        # One after the other: a pool takes one new peer at a time.
        probes: list[pulumi.Resource] = []
        for host in hosts[1:]:
            probes.append(self._probe(first, host, [*bricks, *probes]))
        # The first host is known by its address until somebody who has met it probes it by name.
        probes.append(self._probe(second, first, [probes[0]]))
        self.hosts, self.ready = hosts, [*bricks, *probes]
        self.register_outputs({"peers": [host.name for host in hosts]})

    def _probe(self, host: Host, peer: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        return host.step(
            f"{host.name}-peer-probe-{peer.name}",
            "gluster/peer-probe.sh",
            parent=self,
            variables={"PEER": peer.name},
            after=after,
        )


class Volume(pulumi.ComponentResource):
    """A volume, `sessions` above all, of a folder on each brick host. Other volumes' steps begin with their names.

    Attributes:
        id: By which Gluster knows it, whatever its name.
        restored: The steps after which it is there, and no brick of it is one that a machine has lost.
        identities: Of the brick hosts, separated by spaces; another one is a new machine.
        addresses: Of the machines that may connect to its bricks, separated by commas.
    """

    id: pulumi.Output[str]
    restored: Sequence[pulumi.Resource]
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
        """Makes the volume from a pool, of a folder `brick` on each of its hosts; one that is there gets its new layout
        `after` these steps."""
        super().__init__("php-cluster:gluster:Volume", name, None, opts)
        self._name, self._prefix = name, "" if name == topology.VOLUME else f"{name}-"
        self._first = pool.hosts[0]
        self._layout = {
            "LAYOUT": volume_layout(plan),
            "BRICKS": " ".join(f"{host.name}:{brick}" for host in plan.balancers),
            "ARBITER": f"{plan.arbiter.name}:{topology.ARBITER_FOLDER}" if plan.arbiter else "",
        }
        self._options = "".join(f"{key} {value}\n" for key, value in options.items())
        self.identities = pulumi.Output.all(*[host.machine.identity for host in pool.hosts]).apply(" ".join)
        # Brick hosts show each other's bricks a password of the volume's own. Where TLS gives everybody a name, Gluster
        # does not look at it, and they would be strangers.
        clients = [*plan.php_nodes, *(plan.balancers if tls else ())]
        self.addresses = ",".join(dict.fromkeys(machine.address for machine in clients))
        created = self.step("volume-create", self._layout, after=[*pool.ready, *after])
        self.id = created.stdout.apply(_id_in)
        releases = f"{self._prefix}volume-releases"
        agreed = [
            host.step(
                f"{host.name}-{releases}",
                "gluster/volume-releases.sh",
                parent=self,
                variables={"VOLUME": name},
                files={"BRICKS_GO_ON_DROP_IN": "gluster/bricks-go-on.drop-in.conf"},
                after=[created],
            )
            for host in _older(pool.hosts, releases)
        ]
        self.restored = [
            host.step(
                f"{host.name}-{self._prefix}brick-restore",
                "gluster/brick-restore.sh",
                parent=self,
                variables={"VOLUME": name, "BRICK": brick},
                after=[created, *agreed],
            )
            for host in pool.hosts
        ]
        self.register_outputs({})

    def arbitrate(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """The step after which it has the arbiter that the profile asks for, which runs `after` these, or none."""
        settings = {"ARBITER": self._layout["ARBITER"], "ARBITER_PORT": str(ARBITER_PORT)}
        # A brick that is put back has its daemon started again, and the pool takes one change at a time.
        files = {"BRICKS_GO_ON_DROP_IN": "gluster/bricks-go-on.drop-in.conf"}
        return self.step("volume-arbiter", settings, files=files, after=[*self.restored, *after])

    def start(self, after: Sequence[pulumi.Resource]) -> StartedVolume:
        """Sets the options, starts the volume and has its bricks healed, `after` it has its arbiter.

        The nodes are admitted along with the options. One that leaves keeps its access until no request is on it:
        see `StartedVolume.revoke`.
        """
        settings = {"OPTIONS": self._options, "ADDRESSES": self.addresses}
        configured = self.step("volume-options", settings, after=after)
        # A new machine's brick, and one that was started anew for another layout, has to be there, and to be filled.
        looked_at: dict[str, pulumi.Input[str]] = {"BRICK_HOSTS": self.identities, "LAYOUT": self._layout["LAYOUT"]}
        started = self.step("volume-start", looked_at, after=[configured])
        # A brick that was lost may take its time to be filled.
        whole = self.step("volume-heal", looked_at, after=[started], limit_seconds=3600, again_with="volume-start")
        return StartedVolume(self, configured, started, whole)

    def show(self, revoked: pulumi.Resource) -> pulumi.Output[str]:
        """What `gluster volume info` says of it, once access is as it should be."""
        # What it shows depends on these, so it is shown again when they change.
        settings = {**self._layout, "OPTIONS": self._options, "ADDRESSES": self.addresses}
        return self.step("volume-info", settings, after=[revoked], quiet=True).stdout

    def step(
        self,
        kind: str,
        variables: Mapping[str, pulumi.Input[str]],
        *,
        files: Mapping[str, str] | None = None,
        after: Sequence[pulumi.Resource],
        limit_seconds: int = 300,
        quiet: bool = False,
        again_with: str = "",
    ) -> command.remote.Command:
        """Runs the script of that name for this volume, where the pool is managed; again with that of another name."""
        return self._first.step(
            f"{self._prefix}{kind}",
            f"gluster/{kind}.sh",
            parent=self,
            variables={"VOLUME": self._name, **variables},
            files=files,
            after=after,
            limit_seconds=limit_seconds,
            quiet=quiet,
            again_with=again_with and f"{self._prefix}{again_with}",
        )


@dataclass(frozen=True)
class StartedVolume:
    """A volume that is started, and healed.

    Attributes:
        volume: Which one.
        configured: The step after which its options are set. Its start is some seconds of waiting: the time for steps
            that need the processors and that nothing else waits for.
        started: The step after which clients can mount it.
        whole: The step after which all bricks hold the same.
    """

    volume: Volume
    configured: pulumi.Resource
    started: pulumi.Resource
    whole: pulumi.Resource

    def revoke(self, drained: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """The step after which nodes that leave have no access, after the steps that keep requests away from them."""
        return self.volume.step("volume-revoke", {"ADDRESSES": self.volume.addresses}, after=[self.whole, *drained])
