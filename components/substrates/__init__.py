"""The one registry of substrates: what the machines of a cluster can be made of.

A substrate turns a plan into machines. Adding one is a file in this folder and a line in `SUBSTRATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.drift import Drift, States
from components.machine import Machine
from components.settings import Settings
from components.substrates import local
from components.topology import Topology


@dataclass(frozen=True)
class Substrate:
    """How to ask a substrate.

    Attributes:
        default_network: The network of a stack that configures none, from the stack's name.
        create: Makes the machines of a plan, by name.
        states: Which of the machines with these names are off, or gone with their disks, as far as it can tell.
    """

    default_network: Callable[[str], str]
    create: Callable[[Settings, Topology, Drift], Mapping[str, Machine]]
    states: Callable[[tuple[str, ...]], States]


SUBSTRATES: Mapping[str, Substrate] = {
    "local": Substrate(local.default_network, local.create, local.states),
}
