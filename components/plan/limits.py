"""What one source may take of the site: the keys below `limits`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.plan.config_values import Reader, any_network, integer, list_of

KEY = "limits"

_NETWORKS_RULE = "a list of networks in CIDR notation without host bits, and not the whole world"


@dataclass(frozen=True)
class Limits:
    """What one source, an IPv4 address or a /64 network of IPv6, may take before it is refused or has to wait.

    Attributes:
        requests_per_second: On average over 10 s; beyond it, each request is refused.
        sessions_per_second: New ones, likewise.
        connections: Open ones, and requests under way. Further connections are closed, further requests refused.
        requests_at_once: So many are with the nodes, and others wait; None: half as many as there are workers.
        exempt: Networks that have no limits.
    """

    requests_per_second: int = 200
    sessions_per_second: int = 20
    connections: int = 1000
    requests_at_once: int | None = None
    exempt: tuple[str, ...] = ()


USUAL = Limits()
"""For a site of which nothing is said."""


def read_limits(reader: Reader) -> Limits:
    """Checks the keys below `limits`; those that are not there have their defaults."""
    defaults: dict[str, Any] = {
        "requestsPerSecond": USUAL.requests_per_second,
        "sessionsPerSecond": USUAL.sessions_per_second,
        "connections": USUAL.connections,
        "requestsAtOnce": USUAL.requests_at_once,
        "exempt": [],
    }
    below = reader.below(KEY, defaults, example="requestsPerSecond 500")

    def number(key: str, example: int, most: int, fallback: int) -> int:
        return below.read(key, integer(1, most), f"a whole number from 1 to {most}", f"{key} {example}", fallback)

    at_once = below.values["requestsAtOnce"]
    return Limits(
        requests_per_second=number("requestsPerSecond", 500, 100_000, USUAL.requests_per_second),
        sessions_per_second=number("sessionsPerSecond", 50, 10_000, USUAL.sessions_per_second),
        connections=number("connections", 2000, 10_000, USUAL.connections),
        requests_at_once=None if at_once is None else number("requestsAtOnce", 50, 10_000, 1),
        exempt=below.read("exempt", list_of(any_network), _NETWORKS_RULE, "exempt[0] 203.0.113.0/28", ()),
    )
