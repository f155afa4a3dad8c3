"""The releases of Debian that machines may run, and what differs between them: the one place that knows."""

from __future__ import annotations

from dataclasses import dataclass


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

RELEASES = {
    release.number: release
    for release in (
        Release(12, "bookworm", php="8.2", gluster=10),
        Release(13, "trixie", php="8.4", gluster=11),
    )
}
