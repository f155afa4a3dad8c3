"""The one registry of substrates: what the machines of a cluster can be made of.

A substrate turns a plan into machines. Adding one is a file in this folder and a line in `SUBSTRATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    """

    default_network: Callable[[str], str]
    create: Callable[[Settings, Topology], Mapping[str, Machine]]


SUBSTRATES: Mapping[str, Substrate] = {
    "local": Substrate(local.default_network, local.create),
}
