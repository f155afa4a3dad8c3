"""Another profile for a cluster that lives and keeps its sessions.

A PHP node with PHP's `files` handler takes a record for a broken session, and would replace it. So nodes go through a
mode that reads both and writes plain sessions: all of them are in it before the first record is written, or the last
one is turned back. And whenever the volume is changed, all of them have the mounts of profile safe, which do not keep
what a session was. docs/decisions/12-switching-profile.md tells the order and why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pulumi

from components.plan import topology
from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.settings import Settings
from components.plan.topology import DRAIN_SECONDS, FIRST_NODE, PlannedMachine, Profile
from components.sessions.extension import record_lines
from components.steps.host import Host
from components.steps.last_update import LastUpdate
from components.steps.order import Waits

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

    def waits(self, nodes: Sequence[PlannedMachine]) -> Waits:
        """Which step waits for which, of those whose order the profiles ask for.

        It tells the steps that there are, too: a node's step that prepares it stays once it is there, as nothing to be
        changed, and so does the one after which all sessions are plain. That one is there for either profile, so that
        its input changes with each switch, and the engine runs it for each.

        Args:
            nodes: All PHP nodes.
        """
        last, switching = self._last, self.under_way
        names = [node.name for node in nodes]
        prepared = [
            f"{name}{HANDOVER}"
            for name in names
            if (switching and last.has(f"{name}-php")) or last.has(f"{name}{HANDOVER}")
        ]
        turned = [PLAIN_SESSIONS] if switching or last.has(PLAIN_SESSIONS) else []
        if not switching:
            order = self._steady(names)
        elif self._wanted is Profile.SAFE:
            order = self._to_safe(nodes, prepared, turned)
        else:
            order = self._to_article(names, prepared, turned)
        return {**{step: [] for step in prepared}, **{step: ["volume-arbiter"] for step in turned}, **order}

    def _steady(self, nodes: Sequence[str]) -> Waits:
        # A node that serves starts another PHP for a new mount as for new settings, and does so once at a time.
        once = {name: [f"{name}-mount"] if self._last.has(f"{name}-php") else [] for name in nodes}
        return {
            "volume-options": ["volume-arbiter"],
            **{f"{name}-mount": ["volume-start"] for name in nodes},
            **{f"{name}-php": ["volume-options", *once[name]] for name in nodes},
            "files-volume-arbiter": ["volume-start"],
        }

    def _to_safe(self, nodes: Sequence[PlannedMachine], prepared: Sequence[str], turned: Sequence[str]) -> Waits:
        early = [f"{node.name}-mount" for node in nodes if self._is_admitted(node)]
        late = [f"{node.name}-mount" for node in nodes if not self._is_admitted(node)]
        return {
            **_one_after_the_other(early, after=["pool"]),
            **dict.fromkeys(prepared, early),
            "volume-create": [*early, *prepared],
            "volume-options": ["volume-arbiter"],
            **_one_after_the_other(late, after=["volume-heal"]),
            **{f"{node.name}-php": ["volume-heal", *late, *turned] for node in nodes},
            "files-volume-arbiter": ["volume-heal"],
        }

    def _to_article(self, nodes: Sequence[str], prepared: Sequence[str], turned: Sequence[str]) -> Waits:
        serving = [f"{name}-php" for name in nodes]
        return {
            "volume-create": prepared,
            "volume-options": ["volume-arbiter", *turned],
            **{step: ["volume-heal"] for step in serving},
            **_one_after_the_other([f"{name}-mount" for name in nodes], after=serving),
            # To give a volume another layout takes the pool's daemon away, and healing has to be asked for there.
            "files-volume-arbiter": ["volume-heal"],
        }

    def _is_admitted(self, node: PlannedMachine) -> bool:
        """Whether a PHP node that has a mount can mount the volume anew before its options are set, which admit a node
        that is new, or has another address."""
        admitted = self._last.variable("volume-options", "ADDRESSES") or ""
        return self._last.has(f"{node.name}-mount") and node.address in admitted.split(",")


def _one_after_the_other(mounts: Sequence[str], after: Sequence[str]) -> Waits:
    """A mount that is made anew keeps its node's requests waiting."""
    return {mount: [earlier] if earlier else after for earlier, mount in zip(["", *mounts], mounts, strict=False)}


def handover(
    host: Host, settings: Settings, after: Sequence[pulumi.Resource], *, parent: pulumi.Resource
) -> pulumi.Resource:
    """The step after which a PHP node that has the extension and serves with the other profile reads both kinds of
    sessions, `after` these."""
    return host.after(*after).step(
        f"{host.name}{HANDOVER}",
        "sessions/handover.sh",
        parent=parent,
        variables={
            "GUARDED": "yes" if settings.profile is Profile.SAFE else "no",
            "LINES": record_lines(settings.request_seconds, settings.php_workers, writes_plain=True),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        files={"HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php"},
    )


def plain_sessions(
    host: Host, settings: Settings, after: Sequence[pulumi.Resource], *, parent: pulumi.Resource
) -> pulumi.Resource:
    """The step after which every session is one of PHP's own handler, if that is what nodes are to have."""
    return host.after(*after).step(
        PLAIN_SESSIONS,
        "sessions/plain-sessions.sh",
        parent=parent,
        variables={"GUARDED": "yes" if settings.profile is Profile.SAFE else "no", "MOUNT_POINT": topology.MOUNT_POINT},
        files={"PLAIN_PHP": "sessions/plain_sessions.php"},
        # To turn very many records takes its time.
        limit_seconds=3600,
    )
