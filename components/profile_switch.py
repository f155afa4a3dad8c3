"""Another profile for a cluster that lives and keeps its sessions.

A PHP node with PHP's `files` handler takes a record for a broken session, and would replace it. So nodes go through a
mode that reads both and writes plain sessions: all of them are in it before the first record is written, or the last
one is turned back. docs/decisions/12-switching-profile.md tells the order and why.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pulumi

from components import topology
from components.config_values import NAMESPACE, ConfigError
from components.gluster import Volume
from components.machine import Machine
from components.php import FIRST_NODE, SESSION_HANDLER, PhpNode, handover_lines
from components.remote import remote_step
from components.settings import Settings
from components.topology import ARBITER_HOST, DRAIN_SECONDS, Profile

HANDOVER = "-handover"
BRICK_LEFT = f"{ARBITER_HOST}-brick-left"

_LAYOUT = re.compile(r"^LAYOUT=(.*)$", re.MULTILINE)
_GUARDED = re.compile(r"^GUARDED=(yes|no)$", re.MULTILINE)


def profile_of_step(step: str, outputs: Mapping[str, Any]) -> Profile | None:
    """The profile that a step was last run for; None where it is the same for both."""
    text = outputs.get("stdin") or ""
    if step == "volume-create" and (layout := _LAYOUT.search(text)):
        return Profile.SAFE if "arbiter" in layout.group(1) else Profile.ARTICLE
    if step.endswith(("-mount", "-php")) and (guarded := _GUARDED.search(text)):
        return Profile.SAFE if guarded.group(1) == "yes" else Profile.ARTICLE
    return None


class ProfileSwitch:
    """What the profile that is wanted means for what the last update left.

    Attributes:
        under_way: Whether something still has the other profile. True for an update that was interrupted in the middle,
            too, whichever of the two profiles is wanted then.
    """

    def __init__(self, wanted: Profile, known: Mapping[str, Mapping[str, Any]]) -> None:
        self._wanted = wanted
        self._known = known
        found = {profile_of_step(step, outputs) for step, outputs in known.items()}
        self.under_way = bool(found - {wanted, None})

    def check(self, nodes: Collection[str], gone: Collection[str] = ()) -> None:
        """Refuses what cannot go together with a switch; nothing was changed by then.

        Args:
            nodes: The PHP nodes that are planned.
            gone: Machines that do not exist any more.

        Raises:
            ConfigError: PHP nodes leave. They would serve to the end as they do now, among nodes that do not. Or the
                node that turns records into plain sessions is a new one, which would not know that there are any.
        """
        serving = {step.removesuffix("-php") for step in self._known if step.endswith("-php")}
        if self.under_way and self._wanted is Profile.ARTICLE and (FIRST_NODE in gone or FIRST_NODE not in serving):
            raise ConfigError(
                f"{NAMESPACE}:profile is {self._wanted.value}\n"
                f"    {FIRST_NODE} turns the sessions into those of this profile, and has to be made again first.\n"
                f"    Mend it with the profile of before: pulumi config set {NAMESPACE}:profile safe && pulumi up"
            )
        if self.under_way and (leaving := serving - set(nodes)):
            raise ConfigError(
                f"{NAMESPACE}:phpNodes is {len(nodes)}\n"
                f"    {', '.join(sorted(leaving))} must not leave while {NAMESPACE}:profile changes.\n"
                f"    Remove nodes afterwards, and now: pulumi config set {NAMESPACE}:phpNodes {len(serving)}"
            )

    def hands_over(self, node: str) -> bool:
        """Whether a PHP node has the step that prepares it. Once it is there it stays, as nothing to be changed."""
        return (self.under_way and f"{node}-php" in self._known) or node + HANDOVER in self._known

    def bring_up(self, volume: Volume, nodes: Sequence[PhpNode]) -> None:
        """Starts the volume, mounts it and makes PHP run, in the order that the profiles ask for.

        Records are written, read, or turned into plain sessions only where neither a mount nor the volume's options
        let a node see what was true a second ago.
        """
        if not self.under_way:
            volume.start()
            for node in nodes:
                node.mount(after=[volume.started])
                node.serve(after=[volume.configured])
        elif self._wanted is Profile.SAFE:
            volume.start()
            mounted = self._one_after_the_other(nodes, after=volume.whole)
            self._first_before_the_others(nodes, after=mounted)
        else:
            served = self._first_before_the_others(nodes, after=[volume.created])
            volume.start(after=served)
            self._one_after_the_other(nodes, after=volume.whole)

    def _one_after_the_other(self, nodes: Sequence[PhpNode], after: pulumi.Resource) -> list[pulumi.Resource]:
        """A mount that is made anew keeps its node's requests waiting."""
        mounted = [after]
        for node in nodes:
            mounted.append(node.mount(after=mounted[-1:]))
        return mounted

    def _first_before_the_others(
        self, nodes: Sequence[PhpNode], after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """The first node turns records into plain sessions, which all others go on with."""
        first = nodes[0].serve(after=after)
        return [first, *(node.serve(after=[first]) for node in nodes[1:])]

    def brick_leaves(self) -> bool:
        """Whether the arbiter's machine has the step after which it is a mere PHP node."""
        return self._wanted is Profile.ARTICLE and not self._known.keys().isdisjoint(
            {f"{ARBITER_HOST}-brick", BRICK_LEFT}
        )


def handover(node: Machine, settings: Settings, installed: pulumi.Resource, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which a PHP node that serves with the other profile reads both kinds of sessions."""
    return remote_step(
        node.name + HANDOVER,
        node,
        "handover.sh",
        parent=parent,
        variables={
            "GUARDED": "yes" if settings.profile is Profile.SAFE else "no",
            "LINES": handover_lines(settings.request_seconds),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        files={**SESSION_HANDLER, "HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php"},
        depends_on=[installed],
    )


def brick_left(machine: Machine, parent: pulumi.Resource, after: pulumi.Resource) -> pulumi.Resource:
    """The step after which a machine whose brick the volume has no more is no brick host any more."""
    return remote_step(
        BRICK_LEFT,
        machine,
        "brick-leave.sh",
        parent=parent,
        variables={
            "VOLUME": topology.VOLUME,
            "BRICK_DISK": topology.SHARED_BRICK_DISK,
            "BRICK": topology.BRICK,
        },
        depends_on=[after],
    )
