"""The one registry of substrates: what the machines of a cluster can be made of.

Adding one is a folder beside this file and a line in `SUBSTRATES`, with its import. Nothing else asks which substrate
it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from components.plan.settings import Settings, SubstrateSettings
from components.plan.topology import Topology
from components.steps.drift import Drift, States
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.substrates.aws import Aws
from components.substrates.existing import Existing
from components.substrates.local import Local

P = TypeVar("P", bound=Topology)


class Substrate(SubstrateSettings, Protocol[P]):
    """A substrate, with its own settings: it turns a plan into machines.

    Its plan may be a `Topology` that knows more, which only the substrate itself asks for.

    Attributes:
        PROTECTED: Whether what has the sessions is protected unless the config says otherwise.
    """

    PROTECTED: bool

    def plan(self, settings: Settings, last: LastUpdate) -> P:
        """Plans the cluster.

        Raises:
            ConfigError: the place of the machines lacks what the settings ask for.
        """

    def states(self, names: tuple[str, ...]) -> States:
        """Which of the machines with these names are off, or gone with their disks, as far as it can tell."""

    def create(self, settings: Settings, plan: P, drift: Drift) -> Mapping[str, Machine]:
        """Makes the machines of a plan, by name.

        Raises:
            ConfigError: before anything is made: machines that are there already are not fit.
        """


SUBSTRATES: Mapping[str, type[Substrate[Any]]] = {
    "aws": Aws,
    "existing": Existing,
    "local": Local,
}
