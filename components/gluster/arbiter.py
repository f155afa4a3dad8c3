"""The arbiter between the two bricks, Gluster's *thin arbiter*: asked only when one of them fails, and then its word
counts. It holds no session, only the note which brick is outdated. docs/decisions/15-thin-arbiter.md tells why.

It is a process of its own, since Gluster's daemon knows nothing of it: it needs no member of the pool and no disk.
"""

from __future__ import annotations

from collections.abc import Collection

import pulumi

from components.plan.topology import ARBITER_FOLDER, BALANCERS, FIRST_NODE, VOLUME
from components.plan.traffic import ARBITER_PORT
from components.steps.host import Host
from components.steps.last_update import LastUpdate
from components.steps.remote import render

_AGREES = "arbiter-agrees"
RUNNING = f"{FIRST_NODE}-arbiter"
LEFT = f"{FIRST_NODE}-arbiter-left"


def loss_of_both_words(gone: Collection[str], last: LastUpdate) -> str:
    """What a user must know before the cluster goes on with the only brick that is left; empty when there is nothing.

    Args:
        gone: The machines whose disks are gone.
        last: What the last update left.
    """
    lost = [balancer for balancer in BALANCERS if balancer in gone]
    if len(lost) != 1 or FIRST_NODE not in gone or not last.has(RUNNING):
        return ""
    [left] = set(BALANCERS) - set(lost)
    return (
        f"{lost[0]} and {FIRST_NODE} are gone together: sessions go on as {left} has them. Whether it had every "
        f"update is not known any more, since the arbiter's note was on {FIRST_NODE}; what {lost[0]} alone had is lost."
    )


def arbiter_runs(host: Host, volume_id: pulumi.Input[str], *, tls: bool, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which the arbiter can be asked, now and after every boot.

    Args:
        host: Where it runs: a machine that others trust, with a place for the notes on each volume.
        volume_id: Of the volume that it is for: an arbiter that is made again is known by it.
        tls: Whether Gluster's connections are encrypted.
        parent: The component it belongs to.
    """
    return host.step(
        RUNNING,
        "gluster/arbiter.sh",
        parent=parent,
        variables={
            "FOLDER": ARBITER_FOLDER,
            "PORT": str(ARBITER_PORT),
            "VOLUME": VOLUME,
            "VOLUME_ID": volume_id,
            "VOLUME_FILE": render("gluster/arbiter.vol.j2", folder=ARBITER_FOLDER, port=ARBITER_PORT, tls=tls),
        },
        files={"ARBITER_SERVICE": "gluster/arbiter.service"},
    )


def notes_for(host: Host, volume: str, volume_id: pulumi.Input[str], *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which the arbiter has a place for its notes on another volume, which it serves along with
    `sessions`. Before it runs: whoever asks and finds none would make one.

    Args:
        host: The arbiter's.
        volume: The volume's name.
        volume_id: By which an arbiter that is made again is known.
        parent: The component it belongs to.
    """
    return host.step(
        f"{host.name}-{volume}-arbiter-notes",
        "gluster/arbiter-notes.sh",
        parent=parent,
        variables={"FOLDER": ARBITER_FOLDER, "VOLUME": volume, "VOLUME_ID": volume_id},
    )


def arbiter_agrees(
    host: Host,
    *,
    volume: str = VOLUME,
    brick_hosts: pulumi.Input[str],
    parent: pulumi.Resource,
    whole: pulumi.Resource,
) -> pulumi.Resource:
    """The step after which the arbiter takes no brick for outdated, and the next one may fail.

    Args:
        host: The arbiter's.
        volume: Whose bricks.
        brick_hosts: Identities of the machines with bricks: a new machine's brick is outdated until it is filled.
        parent: The component it belongs to.
        whole: The step after which all bricks hold the same.
    """
    prefix = "" if volume == VOLUME else f"{volume}-"
    return host.step(
        f"{host.name}-{prefix}{_AGREES}",
        "gluster/arbiter-agrees.sh",
        parent=parent,
        variables={
            "VOLUME": volume,
            "FOLDER": ARBITER_FOLDER,
            "BRICKS_OF": " ".join(BALANCERS),
            "BRICK_HOSTS": brick_hosts,
        },
        after=[whole],
        again_with=f"{prefix}volume-heal",
    )


def arbiter_is_leaving(last: LastUpdate) -> bool:
    """Whether an arbiter that is not wanted any more is there by what the last update left, or was."""
    return last.has(RUNNING, LEFT)


def arbiter_left(host: Host, *, parent: pulumi.Resource, unasked: pulumi.Resource) -> pulumi.Resource:
    """The step after which no arbiter runs any more, once nobody asks it."""
    return host.step(
        LEFT,
        "gluster/arbiter-leave.sh",
        parent=parent,
        variables={"FOLDER": ARBITER_FOLDER, "PORT": str(ARBITER_PORT)},
        after=[unasked],
    )
