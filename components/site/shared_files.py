"""What a site shares beside its sessions: the volume `files` on the disks of the sessions' bricks, its mounts, and what
the first release that shares something ships of it. None of it is there as long as nothing is shared.

Sessions come first wherever both need something: the pool's changes, and the nodes' PHP.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.gluster.arbiter import arbiter_agrees, notes_for
from components.gluster.volume import StartedVolume, TrustedPool, Volume
from components.php.mount import files_mounted
from components.plan import topology
from components.plan.config_values import NAMESPACE
from components.plan.shared_paths import SHARED_FOLDER, SHIPPED, SharedPaths
from components.plan.topology import FILES_BRICK, FILES_MOUNT_POINT, FILES_VOLUME, FIRST_NODE, Topology
from components.plan.volume_options import files_options
from components.steps.host import Host
from components.steps.last_update import LastUpdate

SEEDED = f"{FIRST_NODE}-site-shared"
STOPPED = f"{FILES_VOLUME}-volume-stopped"
_CREATED = f"{FILES_VOLUME}-volume-create"


def folders_ready(pool: TrustedPool, *, parent: pulumi.Resource) -> list[pulumi.Resource]:
    """The steps after which each brick host has the folder for its brick. A machine that comes in place of a lost one
    has it before its daemon looks for it."""
    return [
        host.step(
            f"{host.name}-{FILES_VOLUME}-brick",
            "gluster/files-brick.sh",
            parent=parent,
            variables={"BRICK_DISK": topology.SHARED_BRICK_DISK, "BRICK": FILES_BRICK},
            after=pool.ready,
        )
        for host in pool.hosts
    ]


class SharedFiles(pulumi.ComponentResource):
    """The volume `files` and its mounts.

    Attributes:
        noted: The steps after which the arbiter, if there is one, can serve it too.
    """

    noted: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        plan: Topology,
        pool: TrustedPool,
        arbiter: Host | None,
        *,
        tls: bool,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the volume from the pool, `after` the one with the sessions is there, with all its bricks."""
        super().__init__("php-cluster:shared_files:SharedFiles", name, None, opts)
        self._plan, self._arbiter, self._tls = plan, arbiter, tls
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
        self.noted = [notes_for(arbiter, FILES_VOLUME, self._volume.id, parent=self)] if arbiter else []
        self.register_outputs({"mountPoint": FILES_MOUNT_POINT})

    def start(self, after: Sequence[pulumi.Resource]) -> StartedVolume:
        """Starts the volume, `after` the pool has nothing to do for the sessions any more."""
        begun = self._volume.start(after=[self._volume.arbitrate(after)])
        if self._arbiter:
            hosts = self._volume.identities
            arbiter_agrees(self._arbiter, volume=FILES_VOLUME, brick_hosts=hosts, parent=self, whole=begun.whole)
        return begun

    def mount(self, host: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """The step after which a PHP node has it mounted, `after` it is started, the node's sessions are mounted, and
        its PHP runs."""
        return files_mounted(host, self._plan, tls=self._tls, parent=self, after=after)


def seeded(
    host: Host, release: str, shared: SharedPaths, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """The step after which everything that a release shares has its place on the volume: what was there before, else
    what this release ships. One node does it for all.

    Args:
        host: That node.
        release: The release's name.
        shared: What it shares.
        parent: The component it belongs to.
        after: The steps after which the release lies ready on the node, and the volume is mounted.
    """
    return host.step(
        SEEDED,
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
        after=after,
    )


def no_longer_shared(shared: SharedPaths, last: LastUpdate) -> list[str]:
    """What the last update shared, and this one does not."""
    before = [last.variable(SEEDED, name) or "" for name in ("SHARED_DIRS", "SHARED_FILES")]
    return [path for paths in before for path in paths.splitlines() if path not in shared.links]


def warn_of_unshared(shared: SharedPaths, last: LastUpdate) -> None:
    """Says what becomes of files that were shared."""
    if kept := no_longer_shared(shared, last):
        pulumi.log.warn(
            f"{NAMESPACE}:sharedDirs and sharedFiles no longer have {', '.join(kept)}: what the site has written "
            f"there stays on the volume {FILES_VOLUME}, in {SHARED_FOLDER}, and comes back when it is shared again"
        )


def are_leaving(last: LastUpdate) -> bool:
    """Whether a volume that nothing is shared on any more is there by what the last update left, or was."""
    return last.has(_CREATED, STOPPED)


def leave(
    first: Host, nodes: Sequence[Host], *, parent: pulumi.Resource, drained: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """The step after which no node mounts the volume and it is stopped. Its data stay.

    Args:
        first: Where the pool is managed.
        nodes: The PHP nodes.
        parent: The component they belong to.
        drained: The steps after which all nodes serve a release that shares nothing.
    """
    unmounted = [
        node.step(
            f"{node.name}-{FILES_VOLUME}-left",
            "gluster/files-leave.sh",
            parent=parent,
            variables={"MOUNT_POINT": FILES_MOUNT_POINT},
            after=drained,
        )
        for node in nodes
    ]
    return first.step(
        STOPPED, "gluster/volume-stop.sh", parent=parent, variables={"VOLUME": FILES_VOLUME}, after=unmounted
    )
