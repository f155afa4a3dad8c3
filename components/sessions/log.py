"""The log of all sessions: each PHP node's service that keeps it (scripts/hosts/sessions/service/), and what asks it
(scripts/hosts/sessions/session_service/).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

import pulumi

from components.plan.topology import FIRST_NODE, LOG_WRITERS, MOUNT_POINT
from components.plan.traffic import SESSIONS_PORT
from components.steps.host import Host
from components.steps.host_scripts import files_like
from components.steps.last_update import LastUpdate

KEY = "sessionStore"
_SERVICE, _LOG = "session-service", "session-log"
SESSION_LOG = f"{FIRST_NODE}-{_LOG}"
SOCKET = "/run/php-cluster-session-log/socket"
"""Where PHP asks its node's service."""
UNIT = "/etc/systemd/system/php-cluster-session-log.service"
"""A node that has it keeps sessions in the log."""

SOURCES = files_like("sessions/service/*.[ch]")
"""The service."""
TOOLS = files_like("sessions/session_service/*.py")
"""The programs that ask it."""
BUILD = "sessions/build-service"
COMPILER = "sessions/compiler"
"""What unpacks the compiler, for this and for PHP's extension."""


def log_begun(first: Host, after: Sequence[pulumi.Resource], *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which the volume has a log; `first` is php1, with its service. `after` these it has the volume."""
    return first.after(*after).step(
        SESSION_LOG,
        "sessions/session-log.sh",
        parent=parent,
        variables={"MOUNT_POINT": MOUNT_POINT, "SOCKET": SOCKET},
    )


def service_runs(host: Host, *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which a PHP node's session service runs. It waits for its mount and for the log by itself."""
    writes = host.name in LOG_WRITERS
    return host.step(
        f"{host.name}-{_SERVICE}",
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
        files={
            "UNIT": "sessions/session-log.service",
            "BUILD_SERVICE": BUILD,
            "COMPILER": COMPILER,
            **source_variables(SOURCES),
            **{f"TOOL_{PurePath(file).stem.strip('_').upper()}": file for file in TOOLS},
        },
    )


def log_left(
    nodes: Sequence[Host], last: LastUpdate, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> None:
    """Ends the services and removes the log, if there was one, `after` the steps with which PHP asks it no more."""
    left = [
        host.step_left(_SERVICE, "sessions/session-service-leave.sh", last, parent=parent, after=after)
        for host in nodes
    ]
    nodes[0].step_left(
        _LOG,
        "sessions/session-log-leave.sh",
        last,
        parent=parent,
        variables={"MOUNT_POINT": MOUNT_POINT},
        after=[*after, *(step for step in left if step)],
    )


def source_variables(sources: Iterable[str]) -> dict[str, str]:
    """A step's variable to each file that it compiles: `SOURCE_WIRE_C` is wire.c."""
    return {f"SOURCE_{PurePath(source).name.upper().replace('.', '_')}": source for source in sources}
