"""The log of all sessions, and each PHP node's service that keeps it (scripts/hosts/sessions/session_service/)."""

from __future__ import annotations

import pulumi

from components.plan.config_values import made_otherwise
from components.plan.topology import FIRST_NODE, LOG_WRITERS, MOUNT_POINT, SessionStore
from components.plan.traffic import SESSIONS_PORT
from components.steps.host import Host
from components.steps.host_scripts import HOST_SCRIPTS
from components.steps.last_update import LastUpdate

KEY = "sessionStore"
SOCKET = "/run/php-cluster-session-log/socket"
"""Where PHP asks its node's service."""
UNIT = "/etc/systemd/system/php-cluster-session-log.service"
"""A node that has it keeps sessions in the log."""

SOURCES = tuple(
    sorted(str(path.relative_to(HOST_SCRIPTS)) for path in (HOST_SCRIPTS / "sessions" / "session_service").glob("*.py"))
)


def check_choice(wanted: SessionStore, last: LastUpdate) -> None:
    """Refuses another store than the one that the stack was made with.

    Args:
        wanted: The store that the settings ask for.
        last: What the last update left.

    Raises:
        ConfigError: it is another one: sessions would stay where the other store has them.
    """
    made = SessionStore.LOG if last.machines_with("session-service") else SessionStore.FILES
    if last.machines_with("php") and wanted is not made:
        raise made_otherwise(
            KEY, wanted.value, made.value, was=f"sessionStore {made.value}", another=f"with {wanted.value}"
        )


def log_begun(first: Host, *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which the volume has a log; `first` is php1, ready when the volume is mounted there."""
    return first.step(
        f"{FIRST_NODE}-session-log",
        "sessions/session-log.sh",
        parent=parent,
        variables={"MOUNT_POINT": MOUNT_POINT, "SOCKET": SOCKET},
    )


def service_runs(host: Host, *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which a PHP node's session service runs. It waits for its mount and for the log by itself."""
    writes = host.name in LOG_WRITERS
    return host.step(
        f"{host.name}-session-service",
        "sessions/session-service.sh",
        parent=parent,
        variables={
            "MOUNT_POINT": MOUNT_POINT,
            "SOCKET": SOCKET,
            "NAME": host.name,
            "ADDRESS": host.planned.address,
            "PORT": str(SESSIONS_PORT),
            "RANK": str(LOG_WRITERS.index(host.name)) if writes else "",
        },
        files={"UNIT": "sessions/session-log.service", **{_variable(source): source for source in SOURCES}},
    )


def _variable(source: str) -> str:
    name = source.rsplit("/", 1)[1].removesuffix(".py").strip("_")
    return f"SERVICE_{name.upper()}"
