"""PHP's extension of this cluster: the session store in PHP's own place for it, and the front that holds an answer back
until its session is stored. Each machine compiles it for the PHP that it has, from `scripts/hosts/sessions/extension/`.
"""

from __future__ import annotations

import functools
import hashlib

import pulumi

from components.php.node import lock_seconds, waiting_places
from components.plan.settings import Settings
from components.plan.topology import MOUNT_POINT, Profile, SessionStore
from components.sessions.log import COMPILER, SOCKET, source_variables
from components.steps.host import Host
from components.steps.host_scripts import HASH_CHARACTERS, HOST_SCRIPTS, files_like
from components.steps.remote import render

BUILD = "sessions/build-extension"
SOURCES = files_like("sessions/extension/*.[ch]")


@functools.cache
def extension_file() -> str:
    """Where machines have it. The name tells the content, so that PHP starts anew for another one."""
    content = b"".join((HOST_SCRIPTS / file).read_bytes() for file in (*SOURCES, BUILD, COMPILER))
    return f"/usr/lib/php-cluster/php_cluster-{hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]}.so"


def record_lines(
    request_seconds: int,
    workers: int,
    *,
    writes_plain: bool = False,
    service: str = "",
    moves_to: SessionStore | None = None,
) -> str:
    """What PHP's ini file needs to have the session store.

    Args:
        request_seconds: How long a page may take.
        workers: PHP processes of the node.
        writes_plain: Whether sessions are stored as PHP's own handler does, while the profile changes.
        service: Where the node's session service is asked; empty where each session is a file.
        moves_to: While the store changes, the one to which sessions are brought.
    """
    return render(
        "sessions/php-records.ini.j2",
        extension=extension_file(),
        mount_point=MOUNT_POINT,
        lock_seconds=lock_seconds(request_seconds),
        waiting_places=waiting_places(workers),
        writes_plain=writes_plain,
        service=service,
        moves_to=moves_to.value if moves_to else "",
    )


def session_store(settings: Settings) -> str:
    """The lines of PHP's ini file for the profile's session store; none where that is PHP's own handler."""
    if settings.profile is not Profile.SAFE:
        return ""
    service = SOCKET if settings.session_store is SessionStore.LOG else ""
    return record_lines(settings.request_seconds, settings.php_workers, service=service)


def extension_made(host: Host, *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which a PHP node has the extension."""
    return host.step(
        f"{host.name}-php-extension",
        "sessions/php-extension.sh",
        parent=parent,
        variables={"EXTENSION": extension_file()},
        files={"BUILD_EXTENSION": BUILD, "COMPILER": COMPILER, **source_variables(SOURCES)},
    )
