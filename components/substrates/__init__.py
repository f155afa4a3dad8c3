"""The one registry of substrates: what the machines of a cluster can be made of.

A substrate turns a plan into machines. Adding one is a file in this folder and a line in `SUBSTRATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.plan.settings import Settings
from components.plan.topology import Topology
from components.steps.drift import Drift, States
from components.steps.machine import Machine
from components.substrates import aws, existing, local


@dataclass(frozen=True)
class Substrate:
    """How to ask a substrate.

    Attributes:
        plan: Plans the cluster; what it finds wrong where the machines will be, it says as a `ConfigError`.
        create: Makes the machines of a plan, by name.
        states: Which of the machines with these names are off, or gone with their disks, as far as it can tell.
    """

    plan: Callable[[Settings], Topology]
    create: Callable[[Settings, Topology, Drift], Mapping[str, Machine]]
    states: Callable[[tuple[str, ...]], States]


SUBSTRATES: Mapping[str, Substrate] = {
    "aws": Substrate(aws.plan, aws.create, aws.states),
    "existing": Substrate(existing.plan, existing.create, existing.states),
    "local": Substrate(local.plan, local.create, local.states),
}
