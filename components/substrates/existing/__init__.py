"""Machines that the user has: any with Debian 12 that can be reached by SSH. They are looked at before they are used.

They are not ours: `up` marks each as one of the stack, and a machine that leaves, by `destroy` or because the config
names it no more, is unconfigured and goes on without us (scripts/existing/).
"""

from __future__ import annotations

import ipaddress

from components.plan.settings import Settings
from components.plan.topology import Topology, machines_at
from components.steps.drift import States
from components.substrates.existing.machines import create

__all__ = ["create", "plan", "states"]


def plan(settings: Settings) -> Topology:
    """Plans the cluster on the configured addresses."""
    existing = settings.existing
    nodes = [node.address for node in existing.nodes]
    return Topology(
        ipaddress.IPv4Network(settings.network or ""),
        gateway="",
        floating_ip=settings.floating_ip,
        machines=machines_at([balancer.address for balancer in existing.balancers], nodes, settings.profile),
        # What else is in their network is not known, so no other address is let in.
        php_addresses=tuple(nodes),
    )


def states(_: tuple[str, ...]) -> States:
    """Nothing: whether a machine that does not answer is off or cut off, cannot be told from here."""
    return {}
