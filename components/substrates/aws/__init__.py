"""Machines in Amazon's cloud: a network of the stack's own, instances in two or three zones, and an Elastic IP.

The SDK of pulumi-aws takes seconds to import on a busy box, so nothing here imports it before it is asked for machines.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import pulumi

from components.plan import zones
from components.plan.settings import Settings
from components.plan.topology import Topology
from components.steps.drift import Drift, States
from components.steps.machine import Machine


def plan(settings: Settings) -> Topology:
    """Plans the cluster over the configured zones, or over those that the account has.

    Raises:
        ConfigError: the account, as far as it may be asked, has not what the settings name.
    """
    region = importlib.import_module("components.substrates.aws.account").check(
        settings.aws, settings.network, settings.php_nodes
    )
    network = settings.network or zones.default_network(pulumi.get_stack())
    return zones.plan(network, region.zones, settings.php_nodes, settings.profile)


def create(settings: Settings, plan: Topology, drift: Drift) -> Mapping[str, Machine]:
    """Makes the machines of a plan."""
    made: Mapping[str, Machine] = importlib.import_module("components.substrates.aws.cloud").create(
        settings, plan, drift
    )
    return made


def states(_: tuple[str, ...]) -> States:
    """Nothing: the provider itself sees with `pulumi up --refresh` what has become of an instance."""
    return {}
