"""Machines on this Linux box: systemd-nspawn, a bridge of the stack's own, and the scripts of `scripts/lab/`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pulumi

from components.plan import topology
from components.plan.config_values import Reader
from components.plan.debian import DEFAULT, RELEASES, check_choice, check_http3
from components.plan.settings import Settings
from components.plan.topology import Topology
from components.steps.drift import Drift, States
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.substrates.local import machines
from components.substrates.local.identity import default_network, default_network6
from components.substrates.local.settings import Image, check_network, read_image


class Local:
    """The substrate `local`."""

    KEYS: Mapping[str, Any] = {"image": Image.PREBUILT.value}
    PROTECTED = False

    def __init__(self, reader: Reader, *, chosen: bool) -> None:
        self.image = read_image(reader)

    def check(self, reader: Reader, settings: Settings, secret_keys: Collection[str]) -> None:
        """Notes what breaks rules about several keys at once."""
        check_network(reader, settings)

    def plan(self, settings: Settings, last: LastUpdate) -> Topology:
        """Plans the cluster in the configured network, or in the stack's own."""
        network = settings.network or default_network(pulumi.get_stack())
        planned = topology.plan(network, settings.php_nodes, settings.profile, settings.floating_ip)
        if settings.floating_ip6:
            floating = default_network6(pulumi.get_stack())[machines.FLOATING_IP6_OFFSET]
            planned = replace(planned, floating_ip6=str(floating))
        return planned

    def states(self, names: tuple[str, ...]) -> States:
        """Looks at the machines of the current stack with these names. Nothing is known of them without root."""
        return machines.states(names)

    def create(self, settings: Settings, plan: Topology, drift: Drift) -> Mapping[str, Machine]:
        """Makes the machines of a plan on this box: each that is there with the release that it runs, but for the one
        that is upgraded now.

        Raises:
            ConfigError: the stack's machines run another release of Debian, and none is upgraded; or one whose HAProxy
                lacks what the settings ask for.
        """
        running = machines.releases_of(drift.last)
        first = machines.first_release(drift.last) or RELEASES[DEFAULT]
        debian = settings.debian or max(running.values(), key=lambda release: release.number, default=first)
        check_choice(debian, running.values(), settings.upgrading)
        running.pop(settings.upgrading, None)
        releases = {planned.name: running.get(planned.name, debian) for planned in plan.machines}
        if settings.http3:
            check_http3({balancer.name: releases[balancer.name] for balancer in plan.balancers})
        return machines.LocalSubstrate(settings, plan, self.image, releases, drift).machines
