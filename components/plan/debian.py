"""The releases of Debian that machines may run, and what differs between them.

A *release* alone, everywhere else, is one of the site (components/site/release.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from components.plan.config_values import NAMESPACE, ConfigError


@dataclass(frozen=True)
class Release:
    """A release of Debian.

    Attributes:
        number: Its number, as in `/etc/os-release`'s VERSION_ID.
        suite: Its name in Debian's archive.
        php: The PHP that it ships.
        gluster: The major version of the GlusterFS that it ships.
    """

    number: int
    suite: str
    php: str
    gluster: int

    @property
    def op_version(self) -> int:
        """Gluster's `cluster.op-version` for a pool whose members all run this release."""
        return self.gluster * 10_000


DEFAULT = 13
"""What the machines of a new stack get."""

RELEASES = {
    release.number: release
    for release in (
        Release(12, "bookworm", php="8.2", gluster=10),
        Release(13, "trixie", php="8.4", gluster=11),
    )
}


def check_choice(wanted: Release, running: Collection[Release], upgrading: str) -> None:
    """Refuses another release than the machines run, unless they change to it one at a time.

    Args:
        wanted: The release that the settings ask for.
        running: What the stack's machines run; nothing without any.
        upgrading: The machine that `scripts/upgrade` replaces now, or nothing.

    Raises:
        ConfigError: nobody has begun to upgrade them. All at once, their sessions would be lost.
    """
    if running and wanted not in running and not upgrading:
        made = max(running, key=lambda release: release.number)
        raise ConfigError(
            f"{NAMESPACE}:debian is {wanted.number}, and the machines run Debian {made.number}; nothing was changed.\n"
            f"    scripts/upgrade replaces them one at a time, while the site is served.\n"
            f"    To leave them as they are: pulumi config set debian {made.number}"
        )
