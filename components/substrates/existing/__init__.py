"""Machines that the user has: Debian 12 or 13, reached by SSH. They are looked at before they are used.

They are not ours: `up` marks each as one of the stack, and a machine that leaves, by `destroy` or because the config
names it no more, is unconfigured and goes on without us (scripts/existing/).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

from components.plan.config_values import Reader
from components.plan.settings import Settings
from components.plan.topology import Topology, machines_at
from components.steps.drift import Drift, States
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.substrates.existing import machines
from components.substrates.existing.settings import KEY, check_existing, read_existing


class Existing:
    """The substrate `existing`."""

    KEYS: Mapping[str, Any] = {KEY: {}}
    PROTECTED = True

    def __init__(self, reader: Reader, *, chosen: bool) -> None:
        self.settings = read_existing(reader, chosen=chosen)

    def check(self, reader: Reader, settings: Settings, secret_keys: Collection[str]) -> None:
        """Notes what breaks rules about several keys at once."""
        check_existing(reader, self.settings, settings, secret_keys)

    def plan(self, settings: Settings, last: LastUpdate) -> Topology:
        """Plans the cluster on the configured addresses."""
        nodes = [node.address for node in self.settings.nodes]
        balancers = [balancer.address for balancer in self.settings.balancers]
        return Topology(
            ipaddress.IPv4Network(settings.network or ""),
            gateway="",
            floating_ip=settings.floating_ip,
            machines=machines_at(balancers, nodes, settings.profile),
            # What else is in their network is not known, so no other address is let in.
            php_addresses=tuple(nodes),
            floating_ip6=settings.floating_ip6,
        )

    def states(self, names: tuple[str, ...]) -> States:
        """Nothing: whether a machine that does not answer is off or cut off, cannot be told from here."""
        return {}

    def create(self, settings: Settings, plan: Topology, drift: Drift) -> Mapping[str, Machine]:
        """Looks at the machines of a plan, and makes them the stack's.

        Raises:
            ConfigError: some are not fit; the text names every failure of each of them.
        """
        return machines.create(settings, self.settings, plan, drift)
