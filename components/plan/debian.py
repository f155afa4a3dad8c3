"""The releases of Debian that machines may run, and what differs between them.

A *release* alone, everywhere else, is one of the site (components/site/release.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from components.plan.config_values import made_otherwise


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


DEFAULT = 12
"""What machines get that the program makes."""

RELEASES = {
    release.number: release
    for release in (
        Release(12, "bookworm", php="8.2", gluster=10),
        Release(13, "trixie", php="8.4", gluster=11),
    )
}


def check_choice(wanted: Release, made: Release | None) -> None:
    """Refuses another release than the one that the stack was made with.

    Args:
        wanted: The release that the settings ask for.
        made: The release of the stack's machines; None without any.

    Raises:
        ConfigError: it is another one. A balancer with GlusterFS 11 that joins one with 10 does not get the volume
            (findings/gluster-11-joins-10-without-volumes.sh).
    """
    if made not in (None, wanted):
        raise made_otherwise(
            "debian", str(wanted.number), str(made.number), was=str(made.number), another=f"of Debian {wanted.number}"
        )
