"""The releases of Debian that machines may run, and what differs between them.

A *release* alone, everywhere else, is one of the site (components/site/release.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
        quic: Whether its HAProxy speaks QUIC.
    """

    number: int
    suite: str
    php: str
    gluster: int
    quic: bool

    @property
    def op_version(self) -> int:
        """Gluster's `cluster.op-version` for a pool whose members all run this release."""
        return self.gluster * 10_000


DEFAULT = 13
"""What the machines of a new stack get."""

RELEASES = {
    release.number: release
    for release in (
        Release(12, "bookworm", php="8.2", gluster=10, quic=False),
        Release(13, "trixie", php="8.4", gluster=11, quic=True),
    )
}

HTTP3_RULE = (
    "must be false: HAProxy speaks HTTP/3 since Debian "
    f"{min(release.number for release in RELEASES.values() if release.quic)}."
)
"""What is said of `http3` where a balancer runs a release without it."""


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


def check_http3(balancers: Mapping[str, Release]) -> None:
    """Refuses HTTP/3 where a balancer's HAProxy does not speak QUIC.

    Args:
        balancers: What each is to run, by name.

    Raises:
        ConfigError: with the first that does not.
    """
    for name, release in balancers.items():
        if not release.quic:
            raise ConfigError(
                f"{NAMESPACE}:http3 is true, and {name} runs Debian {release.number}; nothing was changed.\n"
                f"    It {HTTP3_RULE}\n"
                f"    Example: pulumi config set http3 false"
            )
