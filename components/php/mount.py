"""The sessions' mount on a PHP node, the article's `mount.glusterfs` and fstab line."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.plan.topology import (
    BALANCERS,
    DRAIN_SECONDS,
    FILES_MOUNT_POINT,
    FILES_VOLUME,
    MOUNT_POINT,
    VOLUME,
    Profile,
    Topology,
)
from components.plan.traffic import BRICK_PORTS, GLUSTERD_PORT, MEMBERS_PORT
from components.steps.host import Host

_ARTICLE_OPTIONS = ("defaults", "_netdev")
_SAFE_OPTIONS = (
    "_netdev",
    # A node boots although the volume is away; the keeper mounts it later.
    "nofail",
    # Either balancer tells the client where the bricks are.
    f"backup-volfile-servers={BALANCERS[1]}",
    # The kernel's page cache would answer with what another node has long overwritten.
    "direct-io-mode=enable",
    # With a new way to the bricks, a mount forgets that for a session in use (docs/decisions/14). Then the kernel
    # has to let its pages go when the look-up of the name tells another time. On is the default by the manual only.
    "auto-invalidation=on",
    # Each name is asked for anew, and the answer brings its file's attributes. What is kept for an instant are those of
    # the folder, whose permissions are looked at on every way through it.
    "entry-timeout=0",
    "negative-timeout=0",
    "attribute-timeout=0.2",
    # Nor does Gluster's own copy of a small file count, whatever the volume's options are. A mount that is told of
    # other options, or of another brick, looks up what is open, and would keep what is just being overwritten.
    f"xlator-option={VOLUME}-quick-read.cache-timeout=0",
)


def mount_options(profile: Profile) -> str:
    """How a profile mounts the volume, as fstab and `mount -o` spell it."""
    return ",".join(_SAFE_OPTIONS if profile is Profile.SAFE else _ARTICLE_OPTIONS)


_FILES_OPTIONS = (
    "_netdev",
    "nofail",
    f"backup-volfile-servers={BALANCERS[1]}",
    # Else the kernel never learns that another node has rewritten a file in place, at the same size.
    "auto-invalidation=on",
)
"""What is read is kept for a second by the kernel, which is what it does by itself, and for one by Gluster's client."""


def files_fstab_line() -> str:
    """The line of /etc/fstab that mounts what a site shares beside its sessions."""
    return f"{BALANCERS[0]}:/{FILES_VOLUME} {FILES_MOUNT_POINT} glusterfs {','.join(_FILES_OPTIONS)} 0 0"


def fstab_line(profile: Profile) -> str:
    """The line of /etc/fstab that mounts the sessions."""
    return f"{BALANCERS[0]}:/{VOLUME} {MOUNT_POINT} glusterfs {mount_options(profile)} 0 0"


_KEEPER_FILES = {
    "KEEP_MOUNTED": "php/keep-mounted",
    "KEEPER_SERVICE": "php/keep-mounted.service",
    "MOUNT_DROP_IN": "php/mount.drop-in.conf",
}


def _members(plan: Topology) -> str:
    """The balancers' pages that list the nodes, as `keep-mounted` asks for them."""
    return " ".join(f"http://{each.address}:{MEMBERS_PORT}/members;csv" for each in plan.balancers)


def _knock_port(*, tls: bool) -> str:
    """Where `keep-mounted` knocks to hear whether a machine is alive.

    A "no" from a port where nobody listens says it too, and is what it asks for where glusterd would take every knock
    for a TLS client that gives up, and write that in its log: the first port of bricks, which draw theirs at random.
    """
    return str(BRICK_PORTS[0] if tls else GLUSTERD_PORT)


def files_mounted(
    host: Host, plan: Topology, *, tls: bool, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """The step after which the volume `files` is mounted on a PHP node, now and after every boot.

    Args:
        host: The node.
        plan: Addresses of all machines.
        tls: Whether Gluster's connections are encrypted.
        parent: The component it belongs to.
        after: The steps after which the volume is started and admits the node, and PHP runs as it should.
    """
    return host.step(
        f"{host.name}-{FILES_VOLUME}-mount",
        "php/mount.sh",
        parent=parent,
        variables={
            "NAME": FILES_VOLUME,
            "FSTAB_LINE": files_fstab_line(),
            "MOUNT_POINT": FILES_MOUNT_POINT,
            # The sessions' keeper ends all connections to a machine that is dead, those of this mount too. Where there
            # is none, nobody does: the profile `article` is for comparison.
            "BRICK_ADDRESSES": "",
            "MEMBERS": _members(plan),
            "GUARDED": "yes",
            "KNOCK_PORT": _knock_port(tls=tls),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        files=_KEEPER_FILES,
        after=after,
    )


class Mount(pulumi.ComponentResource):
    """The volume mounted on one node, now and after every boot.

    Attributes:
        mounted: The step after which it is mounted.
    """

    mounted: pulumi.Resource

    def __init__(
        self, host: Host, profile: Profile, plan: Topology, *, tls: bool, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("php-cluster:mount:Mount", host.name, None, opts)
        line, safe = fstab_line(profile), profile is Profile.SAFE
        self.mounted = host.step(
            f"{host.name}-mount",
            "php/mount.sh",
            parent=self,
            variables={
                "NAME": VOLUME,
                "FSTAB_LINE": line,
                "MOUNT_POINT": MOUNT_POINT,
                "BRICK_ADDRESSES": " ".join(each.address for each in plan.balancers),
                "MEMBERS": _members(plan),
                "GUARDED": "yes" if safe else "no",
                "KNOCK_PORT": _knock_port(tls=tls),
                "DRAIN_SECONDS": str(DRAIN_SECONDS),
            },
            files=_KEEPER_FILES if safe else {},
        )
        self.register_outputs({"line": line})
