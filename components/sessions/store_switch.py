"""Another session store for a cluster that lives and keeps its sessions: from files to the log, or back.

Between the two a PHP node knows both: a session is in its file if that holds anything, else in the log, and whoever
asks for it brings it to the one store or the other. All nodes go the same way, step by step: the old store alone; both,
to the old one; both, to the new one; the new store alone. Nodes of two neighbouring kinds may serve beside each other,
others may not. docs/decisions/23-changing-store.md tells why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import pulumi

from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.settings import Settings
from components.plan.topology import DRAIN_SECONDS, FIRST_NODE, MOUNT_POINT, SessionStore
from components.sessions.extension import record_lines
from components.sessions.log import KEY, SESSION_LOG, SOCKET
from components.steps.host import Host
from components.steps.last_update import LastUpdate
from components.steps.order import Make, Waits

BOTH = "-both-stores"
"""A node's step after which it knows both stores, and brings sessions to the old one."""
NEW = "-new-store"
"""A node's step after which it brings sessions to the new one."""
MOVED = f"{FIRST_NODE}-sessions-moved"
FILES_LEFT = f"{FIRST_NODE}-session-files-left"


def _other(store: SessionStore) -> SessionStore:
    return SessionStore.FILES if store is SessionStore.LOG else SessionStore.LOG


def _stores_left(last: LastUpdate) -> set[SessionStore]:
    """The stores that steps were last run for."""
    settings = [last.variable(f"{node}-php", "PHP_INI") for node in last.machines_with("php")]
    found = {SessionStore.LOG if "\nphp_cluster.service" in each else SessionStore.FILES for each in settings if each}
    changes = [MOVED, *(f"{node}{step}" for step in (BOTH, NEW) for node in last.machines_with(step[1:]))]
    return found | {SessionStore(to) for step in changes if (to := last.variable(step, "TO")) is not None}


class StoreSwitch:
    """What the store that is wanted means for what the last update left.

    Attributes:
        under_way: Whether something still has the other store. True for an update that was interrupted in the middle,
            too, whichever of the two is wanted then.
    """

    def __init__(self, wanted: SessionStore, last: LastUpdate) -> None:
        self._wanted, self._last = wanted, last
        self.under_way = bool(_stores_left(last) - {wanted}) and bool(last.machines_with("php"))

    def check(self, nodes: Collection[str], gone: Collection[str] = (), *, other_profile: bool = False) -> None:
        """Refuses what cannot go together with a switch; nothing was changed by then.

        Args:
            nodes: The PHP nodes that are planned.
            gone: Machines that do not exist any more.
            other_profile: Whether the profile changes, too.

        Raises:
            ConfigError: The profile changes in the same update. Or PHP nodes leave, which would serve to the end as
                they do now. Or the node that moves the sessions is a new one.
        """
        if not self.under_way:
            return
        before, serving = _other(self._wanted).value, set(self._last.machines_with("php"))
        begins = f"{NAMESPACE}:{KEY} is {self._wanted.value}; nothing was changed.\n"
        if other_profile:
            raise ConfigError(
                f"{begins}    Profile and store change one after the other, and a log of sessions needs profile safe.\n"
                f"    First: pulumi config set {NAMESPACE}:profile safe; pulumi config set {NAMESPACE}:{KEY} files; "
                "pulumi up. Then the other one."
            )
        if FIRST_NODE in gone or FIRST_NODE not in serving:
            raise ConfigError(
                f"{begins}    {FIRST_NODE} moves the sessions to this store, and has to be made again first.\n"
                f"    Mend it with the store of before: pulumi config set {NAMESPACE}:{KEY} {before} && pulumi up"
            )
        if leaving := serving - set(nodes):
            raise ConfigError(
                f"{NAMESPACE}:phpNodes is {len(nodes)}; nothing was changed.\n"
                f"    {', '.join(sorted(leaving))} must not leave while {NAMESPACE}:{KEY} changes.\n"
                f"    Remove nodes afterwards, and now: pulumi config set {NAMESPACE}:phpNodes {len(serving)}"
            )

    def waits(self, nodes: Sequence[str], order: Waits) -> Waits:
        """Which step waits for which: those of `order`, and what the change of the store asks for.

        It tells the steps that there are, too. Once a store has changed, its steps stay, as nothing to be changed.

        Args:
            nodes: All PHP nodes.
            order: Which step waits for which otherwise.
        """
        to_log, last = self._wanted is SessionStore.LOG, self._last
        waits = {name: list(steps) for name, steps in order.items()}
        prepared = [
            name
            for name in nodes
            if (self.under_way and last.has(f"{name}-php")) or last.has(f"{name}{BOTH}", f"{name}{NEW}")
        ]
        both, new = ([f"{name}{step}" for name in prepared] for step in (BOTH, NEW))
        moved = [MOVED] if prepared else []
        if to_log:
            waits[SESSION_LOG] = [f"{FIRST_NODE}-mount"] + ([] if self.under_way else [f"{FIRST_NODE}-php"])
        waits |= {step: [] for step in (*both, *new, *moved)}
        if self.under_way:
            # A node's PHP is started anew for one thing at a time.
            waits |= {f"{name}{BOTH}": [f"{name}-mount", *([SESSION_LOG] if to_log else [])] for name in prepared}
            waits |= dict.fromkeys(new, both)
            waits[MOVED] = new
            for name in nodes:
                waits[f"{name}-php"] = [*waits[f"{name}-php"], *moved]
        if to_log and moved:
            waits[FILES_LEFT] = [f"{name}-php" for name in nodes]
        return waits


def makers(hosts: Mapping[str, Host], settings: Settings, waits: Waits, *, parent: pulumi.Resource) -> dict[str, Make]:
    """What makes the steps of a change that are among `waits`.

    Args:
        hosts: PHP nodes with the extension, and to the log with their session service, by name.
        settings: The stack's.
        waits: The steps that there are.
        parent: The component they belong to.
    """
    wanted, found = settings.session_store, dict[str, Make]()
    for name, host in hosts.items():
        for step, moves_to in ((BOTH, _other(wanted)), (NEW, wanted)):
            if f"{name}{step}" in waits:
                found[f"{name}{step}"] = partial(_store_changed, host, step, settings, moves_to, parent=parent)
    if MOVED in waits:
        found[MOVED] = partial(_sessions_moved, hosts[FIRST_NODE], wanted, parent=parent)
    if FILES_LEFT in waits:
        found[FILES_LEFT] = partial(_files_left, hosts[FIRST_NODE], parent=parent)
    return found


def _store_changed(
    host: Host,
    step: str,
    settings: Settings,
    moves_to: SessionStore,
    after: Sequence[pulumi.Resource],
    *,
    parent: pulumi.Resource,
) -> pulumi.Resource:
    """The step after which no request runs on a PHP node that does not know both stores and bring sessions there."""
    lines = record_lines(settings.request_seconds, settings.php_workers, service=SOCKET, moves_to=moves_to)
    return host.after(*after).step(
        f"{host.name}{step}",
        "sessions/change-store.sh",
        parent=parent,
        variables={
            "TO": settings.session_store.value,
            "MOVES_TO": moves_to.value,
            "LINES": lines,
            "SOCKET": SOCKET,
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        files={"HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php"},
    )


def _sessions_moved(
    host: Host, to: SessionStore, after: Sequence[pulumi.Resource], *, parent: pulumi.Resource
) -> pulumi.Resource:
    """The step after which all sessions are in the new store, if nodes know both."""
    return host.after(*after).step(
        MOVED,
        "sessions/sessions-moved.sh",
        parent=parent,
        variables={"TO": to.value, "MOUNT_POINT": MOUNT_POINT, "SOCKET": SOCKET},
        files={"MOVE_PHP": "sessions/move_sessions.php"},
        # To move very many takes its time.
        limit_seconds=3600,
    )


def _files_left(host: Host, after: Sequence[pulumi.Resource], *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which the log is all that there is of sessions."""
    return host.after(*after).step(
        FILES_LEFT,
        "sessions/session-files-leave.sh",
        parent=parent,
        variables={"MOUNT_POINT": MOUNT_POINT},
        limit_seconds=3600,
    )
