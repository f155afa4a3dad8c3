"""Another profile for a cluster that lives and keeps its sessions.

A PHP node with PHP's `files` handler takes a record for a broken session, and would replace it. So nodes go through a
mode that reads both and writes plain sessions: all of them are in it before the first record is written, or the last
one is turned back. And whenever the volume is changed, all of them have the mounts of profile safe, which do not keep
what a session was. docs/decisions/12-switching-profile.md tells the order and why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pulumi

from components.gluster.volume import Volume
from components.php.node import FIRST_NODE, PhpNode, record_lines
from components.plan import topology
from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.settings import Settings
from components.plan.topology import DRAIN_SECONDS, Profile
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import remote_step

HANDOVER = "-handover"
PLAIN_SESSIONS = f"{FIRST_NODE}-plain-sessions"


def _profiles_left(last: LastUpdate) -> set[Profile]:
    """The profiles that steps were last run for."""
    safe = []
    if (layout := last.variable("volume-create", "LAYOUT")) is not None:
        safe.append("arbiter" in layout)
    for step in ("mount", "php"):
        guarded = [last.variable(f"{node}-{step}", "GUARDED") for node in last.machines_with(step)]
        safe += [value == "yes" for value in guarded if value is not None]
    return {Profile.SAFE if each else Profile.ARTICLE for each in safe}


class ProfileSwitch:
    """What the profile that is wanted means for what the last update left.

    Attributes:
        under_way: Whether something still has the other profile. True for an update that was interrupted in the middle,
            too, whichever of the two profiles is wanted then.
    """

    def __init__(self, wanted: Profile, last: LastUpdate) -> None:
        self._wanted, self._last = wanted, last
        self.under_way = bool(_profiles_left(last) - {wanted})

    def check(self, nodes: Collection[str], gone: Collection[str] = ()) -> None:
        """Refuses what cannot go together with a switch; nothing was changed by then.

        Args:
            nodes: The PHP nodes that are planned.
            gone: Machines that do not exist any more.

        Raises:
            ConfigError: PHP nodes leave. They would serve to the end as they do now, among nodes that do not. Or the
                node that turns records into plain sessions is a new one, which would not know that there are any.
        """
        serving = set(self._last.machines_with("php"))
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
        return (self.under_way and self._last.has(f"{node}-php")) or self._last.has(node + HANDOVER)

    def mounts_first(self, node: PhpNode) -> bool:
        """Whether a PHP node gets its mount of profile safe before the volume is changed.

        A node that is new, or has another address, is admitted along with the volume's options, and mounted after that.
        """
        admitted = self._last.variable("volume-options", "ADDRESSES") or ""
        return (
            self._is_to(Profile.SAFE) and self._last.has(f"{node.name}-mount") and node.address in admitted.split(",")
        )

    def prepare(
        self,
        nodes: Sequence[PhpNode],
        hand_over: Callable[[str, Sequence[pulumi.Resource]], pulumi.Resource],
        after: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """Makes what comes before the volume is changed, and returns the steps that it has to wait for.

        Args:
            nodes: All PHP nodes.
            hand_over: Makes a node's step that prepares it, after the given ones.
            after: The steps after which each brick host knows the volume, if there is one.
        """
        mounted = self._one_after_the_other([node for node in nodes if self.mounts_first(node)], after)
        handed_over = [hand_over(node.name, mounted) for node in nodes if self.hands_over(node.name)]
        return [*mounted, *handed_over] if self.under_way else []

    def bring_up(self, volume: Volume, nodes: Sequence[PhpNode], turned: Sequence[pulumi.Resource]) -> None:
        """Starts the volume, mounts it and makes PHP run, in the order that the profiles ask for.

        Args:
            volume: It is there, after the steps that `prepare` returned.
            nodes: All PHP nodes.
            turned: The steps after which no session is a record, where the profile has none.
        """
        if not self.under_way:
            volume.start()
            for node in nodes:
                mounted = node.mount(after=[volume.started])
                # A node that serves starts another PHP for either of them, and does so once at a time.
                serves = self._last.has(f"{node.name}-php")
                node.serve(after=[volume.configured, *([mounted] if serves else [])])
        elif self._is_to(Profile.SAFE):
            volume.start()
            late = [node for node in nodes if not self.mounts_first(node)]
            mounts = self._one_after_the_other(late, after=[volume.whole])
            for node in nodes:
                node.serve(after=[volume.whole, *mounts, *turned])
        else:
            volume.start(after=turned)
            served = [node.serve(after=[volume.whole]) for node in nodes]
            self._one_after_the_other(nodes, after=served)

    def _is_to(self, profile: Profile) -> bool:
        return self.under_way and self._wanted is profile

    def _one_after_the_other(self, nodes: Sequence[PhpNode], after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """A mount that is made anew keeps its node's requests waiting."""
        mounted: list[pulumi.Resource] = []
        for node in nodes:
            mounted.append(node.mount(after=mounted[-1:] or after))
        return mounted

    def turns_records(self) -> bool:
        """Whether there is the step after which all sessions are plain, where the profile has no others.

        It is there for either profile, so that its input changes with each switch, and the engine runs it for each.
        """
        return self.under_way or self._last.has(PLAIN_SESSIONS)


def handover(
    node: Machine,
    settings: Settings,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource] = (),
) -> pulumi.Resource:
    """The step after which a PHP node that serves with the other profile reads both kinds of sessions, `after` it has
    the extension for that."""
    return remote_step(
        node.name + HANDOVER,
        node,
        "sessions/handover.sh",
        parent=parent,
        variables={
            "GUARDED": "yes" if settings.profile is Profile.SAFE else "no",
            "LINES": record_lines(settings.request_seconds, settings.php_workers, writes_plain=True),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        files={"HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php"},
        depends_on=list(after),
    )


def plain_sessions(
    machine: Machine, settings: Settings, parent: pulumi.Resource, after: pulumi.Resource
) -> pulumi.Resource:
    """The step after which every session is one of PHP's own handler, if that is what nodes are to have."""
    return remote_step(
        PLAIN_SESSIONS,
        machine,
        "sessions/plain-sessions.sh",
        parent=parent,
        variables={"GUARDED": "yes" if settings.profile is Profile.SAFE else "no", "MOUNT_POINT": topology.MOUNT_POINT},
        files={"PLAIN_PHP": "sessions/plain_sessions.php"},
        # To turn very many records takes its time.
        limit_seconds=3600,
        depends_on=[after],
    )
