"""What a site shares beside its sessions: the volume `files` on the disks of the sessions' bricks, its mounts, and what
the first release that shares something ships of it. None of it is there as long as nothing is shared.

Sessions come first wherever both need something: the pool's changes, and the nodes' PHP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pulumi

from components.gluster.arbiter import arbiter_agrees, notes_for
from components.gluster.volume import TrustedPool, Volume
from components.php.mount import files_mounted
from components.php.node import FIRST_NODE, PhpNode
from components.plan import topology
from components.plan.config_values import NAMESPACE
from components.plan.shared_paths import SHARED_FOLDER, SHIPPED, SharedPaths
from components.plan.topology import ARBITER_HOST, FILES_BRICK, FILES_MOUNT_POINT, FILES_VOLUME, Topology
from components.plan.volume_options import files_options
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import remote_step

SEEDED = f"{FIRST_NODE}-site-shared"
STOPPED = f"{FILES_VOLUME}-volume-stopped"
_CREATED = f"{FILES_VOLUME}-volume-create"


def _bricks_ready(pool: TrustedPool, parent: pulumi.Resource) -> list[pulumi.Resource]:
    """The steps after which each brick host has the folder for its brick. A machine that comes in place of a lost one
    has it before its daemon looks for it."""
    return [
        remote_step(
            f"{host.name}-{FILES_VOLUME}-brick",
            host,
            "gluster/files-brick.sh",
            parent=parent,
            variables={"BRICK_DISK": topology.SHARED_BRICK_DISK, "BRICK": FILES_BRICK},
            depends_on=pool.ready,
        )
        for host in pool.machines
    ]


class SharedFiles(pulumi.ComponentResource):
    """The volume `files` and its mounts.

    Attributes:
        noted: The steps after which the arbiter, if there is one, can serve it too.
        started: The step after which clients can mount it.
        mounted: PHP node to the step after which it is mounted there.
    """

    noted: list[pulumi.Resource]
    started: pulumi.Resource
    mounted: dict[str, pulumi.Resource]

    def __init__(
        self,
        name: str,
        plan: Topology,
        pool: TrustedPool,
        machines: Mapping[str, Machine],
        *,
        tls: bool,
        after: Sequence[pulumi.Resource],
        installed: Mapping[str, pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the volume from the pool, `after` the one with the sessions is there, with all its bricks."""
        super().__init__("php-cluster:shared_files:SharedFiles", name, None, opts)
        self._plan, self._machines, self._tls = plan, machines, tls
        self._volume = Volume(
            FILES_VOLUME,
            plan,
            files_options(tls=tls),
            pool,
            brick=FILES_BRICK,
            tls=tls,
            after=after,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.noted, self.mounted = [], {}
        if plan.arbiter:
            # Not before the machine has what reads and writes attributes.
            ready = [installed[ARBITER_HOST]]
            arbiter = machines[ARBITER_HOST]
            self.noted.append(notes_for(arbiter, FILES_VOLUME, self._volume.id, parent=self, depends_on=ready))

    def start(self, after: Sequence[pulumi.Resource]) -> None:
        """Starts the volume, `after` the pool has nothing to do for the sessions any more."""
        self._volume.arbitrate(after=after)
        self._volume.start()
        self.started = self._volume.started
        if self._plan.arbiter:
            arbiter_agrees(
                self._machines[ARBITER_HOST],
                volume=FILES_VOLUME,
                brick_hosts=self._volume.identities,
                parent=self,
                after=self._volume.whole,
            )

    def mount(self, node: str, after: Sequence[pulumi.Resource]) -> None:
        """Makes the step after which a PHP node has it mounted, `after` its sessions are, and its PHP runs."""
        self.mounted[node] = files_mounted(
            self._machines[node], self._plan, tls=self._tls, parent=self, depends_on=[self.started, *after]
        )

    def revoke(self, drained: Sequence[pulumi.Resource]) -> None:
        """Takes access from nodes that leave, after the steps that keep requests away from them."""
        self._volume.revoke(drained)
        self.register_outputs({"mountPoint": FILES_MOUNT_POINT})


def seeded(
    machine: Machine,
    release: str,
    shared: SharedPaths,
    *,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> pulumi.Resource:
    """The step after which everything that a release shares has its place on the volume: what was there before, else
    what this release ships. One node does it for all.

    Args:
        machine: That node.
        release: The release's name.
        shared: What it shares.
        parent: The component it belongs to.
        depends_on: The steps after which the release lies ready on the node, and the volume is mounted.
    """
    return remote_step(
        SEEDED,
        machine,
        "site/site-shared.sh",
        parent=parent,
        variables={
            "RELEASE": release,
            "SHIPPED": SHIPPED,
            "MOUNT_POINT": FILES_MOUNT_POINT,
            "SHARED": SHARED_FOLDER,
            "SHARED_DIRS": "".join(f"{path}\n" for path in shared.dirs),
            "SHARED_FILES": "".join(f"{path}\n" for path in shared.files),
        },
        # To copy much may take its time.
        limit_seconds=3600,
        depends_on=depends_on,
    )


class Sharing:
    """What the settings of sharing mean for a cluster, step by step. Nothing, where nothing is shared and nothing was.

    Attributes:
        started: The step after which clients can mount the volume, and its arbiter is no longer asked if it has none.
    """

    started: pulumi.Resource | None = None

    def __init__(
        self,
        shared: SharedPaths,
        plan: Topology,
        machines: Mapping[str, Machine],
        last: LastUpdate,
        *,
        tls: bool,
        parent: pulumi.Resource,
    ) -> None:
        self._shared, self._plan, self._machines, self._tls, self._parent = shared, plan, machines, tls, parent
        self._last = last
        self._files: SharedFiles | None = None
        if kept := no_longer_shared(shared, self._last):
            pulumi.log.warn(
                f"{NAMESPACE}:sharedDirs and sharedFiles no longer have {', '.join(kept)}: what the site has written "
                f"there stays on the volume {FILES_VOLUME}, in {SHARED_FOLDER}, and comes back when it is shared again"
            )

    def prepare(self, pool: TrustedPool) -> list[pulumi.Resource]:
        """Makes what the brick hosts have to have before any brick is put back."""
        return _bricks_ready(pool, self._parent) if self._shared else []

    def create(
        self, pool: TrustedPool, installed: Mapping[str, pulumi.Resource], after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Makes the volume, and returns the steps for which the arbiter has to wait."""
        if not self._shared:
            return []
        options = pulumi.ResourceOptions(parent=self._parent)
        self._files = SharedFiles(
            "shared-files",
            self._plan,
            pool,
            self._machines,
            tls=self._tls,
            after=after,
            installed=installed,
            opts=options,
        )
        return self._files.noted

    def bring_up(self, nodes: Sequence[PhpNode], after: pulumi.Resource) -> None:
        """Starts the volume, `after` the pool has no change to make for the sessions, and mounts it on the nodes, which
        have their sessions by then."""
        if self._files:
            self._files.start(after=[after])
            self.started = self._files.started
            for node in nodes:
                self._files.mount(node.name, after=node.ready)

    def ready(self, node: PhpNode) -> list[pulumi.Resource]:
        """The steps after which a node can serve."""
        return [*node.ready, *([self._files.mounted[node.name]] if self._files else [])]

    def seeds(self) -> Callable[[str, pulumi.Resource, pulumi.Resource], pulumi.Resource] | None:
        """What makes the step that gives the shared parts of a release their places: from the release's name, the step
        that unpacks it on the first node, and the parent."""
        if not (files := self._files):
            return None

        def seed(release: str, staged: pulumi.Resource, parent: pulumi.Resource) -> pulumi.Resource:
            after = [staged, files.mounted[FIRST_NODE]]
            return seeded(self._machines[FIRST_NODE], release, self._shared, parent=parent, depends_on=after)

        return seed

    def finish(self, pool: TrustedPool, after: Sequence[pulumi.Resource]) -> None:
        """Takes access from nodes that leave, and the volume from all if nothing is shared any more, `after` the
        balancers ask those that serve."""
        if self._files:
            self._files.revoke(after)
        elif _is_leaving(self._last):
            _left(pool.first, [self._machines[node.name] for node in self._plan.php_nodes], self._parent, after)


def no_longer_shared(shared: SharedPaths, last: LastUpdate) -> list[str]:
    """What the last update shared, and this one does not."""
    before = [last.variable(SEEDED, name) or "" for name in ("SHARED_DIRS", "SHARED_FILES")]
    return [path for paths in before for path in paths.splitlines() if path not in shared.links]


def _is_leaving(last: LastUpdate) -> bool:
    """Whether a volume that nothing is shared on any more is there by what the last update left, or was."""
    return last.has(_CREATED, STOPPED)


def _left(
    first: Machine, nodes: Sequence[Machine], parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """The step after which no node mounts the volume and it is stopped, `after` no release uses it. Its data stay.

    Args:
        first: Where the pool is managed.
        nodes: The PHP nodes.
        parent: The component they belong to.
        after: The steps after which all nodes serve a release that shares nothing.
    """
    unmounted = [
        remote_step(
            f"{node.name}-{FILES_VOLUME}-left",
            node,
            "gluster/files-leave.sh",
            parent=parent,
            variables={"MOUNT_POINT": FILES_MOUNT_POINT},
            depends_on=after,
        )
        for node in nodes
    ]
    return remote_step(
        STOPPED,
        first,
        "gluster/volume-stop.sh",
        parent=parent,
        variables={"VOLUME": FILES_VOLUME},
        depends_on=unmounted,
    )
