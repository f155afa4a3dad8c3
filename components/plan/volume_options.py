"""The options of the volume: what a profile needs, and what a stack may add. Pure data, no Pulumi in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from components.plan.topology import Profile

SAFE_OPTIONS: Mapping[str, str] = {
    # A dead brick, and a dead node with its locks, is noticed in seconds, not in 42 s or in minutes.
    "network.ping-timeout": "2",
    "client.tcp-user-timeout": "3",
    "server.tcp-user-timeout": "2",
    "server.keepalive-time": "1",
    "server.keepalive-interval": "1",
    "server.keepalive-count": "2",
    # PHP's locks on a session must not be forgotten when a client reconnects.
    "client.strict-locks": "on",
    # A brick that was away is healed within seconds, not after ten minutes.
    "cluster.heal-timeout": "10",
    # A brick whose disk has failed leaves within seconds. Until then it answers each request with an error, for 30 s.
    "storage.health-check-interval": "2",
    # Nothing is acknowledged before the bricks have it.
    "performance.write-behind": "off",
    "performance.flush-behind": "off",
    # Nothing is answered from a copy that another node may have outdated.
    "performance.stat-prefetch": "off",
    "performance.quick-read": "off",
    "performance.open-behind": "off",
    "performance.read-ahead": "off",
    "performance.io-cache": "off",
    "performance.readdir-ahead": "off",
    # Fewer thread changes for the small records of sessions.
    "performance.iot-pass-through": "on",
    "client.event-threads": "1",
    "server.event-threads": "1",
}
"""Each line is one of the recipe's ways to lose or to delay an update; docs/sessions.md tells them apart."""

FILES_OPTIONS: Mapping[str, str] = {
    # A failure is noticed as quickly as by the sessions: a page that waits for a file holds a worker.
    **{
        name: SAFE_OPTIONS[name]
        for name in (
            "network.ping-timeout",
            "client.tcp-user-timeout",
            "server.tcp-user-timeout",
            "server.keepalive-time",
            "server.keepalive-interval",
            "server.keepalive-count",
            "client.strict-locks",
            "cluster.heal-timeout",
            "storage.health-check-interval",
        )
    },
    # PHP looks at what its write says, and not at what closing the file says: nothing may be left for then.
    "performance.write-behind": "off",
    "performance.flush-behind": "off",
    # What is often read is read from this node for a second, names and times of it too.
    "performance.stat-prefetch": "on",
    "performance.md-cache-timeout": "1",
    "performance.quick-read": "on",
    "performance.quick-read-cache-timeout": "1",
    "performance.io-cache": "on",
    "performance.cache-refresh-timeout": "1",
    # A file that was replaced just before a brick's power failed may be another one there. The newer one counts.
    "cluster.favorite-child-policy": "mtime",
    # The last fifth of the disk is the sessions': uploads are refused before they fill it.
    "storage.reserve": "20",
}
"""Of the volume `files`, whatever the profile; docs/shared-files.md tells what they amount to."""

TLS_OPTIONS: Mapping[str, str] = {"client.ssl": "on", "server.ssl": "on"}
"""Clients and bricks encrypt, and let nobody in whose certificate they don't know (components/gluster/tls.py)."""

_OPTION_NAME = re.compile(r"(client|cluster|diagnostics|network|performance|server|storage)\.[a-z][a-z0-9-]*")
"""Those that change how a volume works. Others would change who may mount it (`auth`) or what it is (`features`)."""

RESERVED = frozenset(
    {
        *SAFE_OPTIONS,
        "client.ta-brick-port",
        "cluster.quorum-type",
        "cluster.quorum-count",
        "cluster.server-quorum-type",
    }
)
"""What the promise of profile `safe` rests on, whatever a stack would like."""


SELF_HEAL = "cluster.self-heal-daemon"
"""On, whatever the profile: without it a brick that was away stays behind for ever."""


def is_allowed(name: str, profile: Profile) -> bool:
    """Whether a stack may set the option itself. Gluster knows whether there is one of this name."""
    reserved = {SELF_HEAL, *TLS_OPTIONS, *(RESERVED if profile is Profile.SAFE else ())}
    return _OPTION_NAME.fullmatch(name) is not None and name not in reserved


def files_options(*, tls: bool) -> Mapping[str, str]:
    """All options of the volume `files`, with those for TLS where it is asked for."""
    return {**FILES_OPTIONS, **(TLS_OPTIONS if tls else {})}


def options_of(profile: Profile, added: Mapping[str, str], *, tls: bool = False) -> Mapping[str, str]:
    """All options of the volume: the profile's, those that the stack adds, and those for TLS where it is asked for."""
    return {**(SAFE_OPTIONS if profile is Profile.SAFE else {}), **added, **(TLS_OPTIONS if tls else {})}
