"""Machines in Amazon's cloud: a network of the stack's own, instances in two or three zones, and an Elastic IP.

The SDK of pulumi-aws takes seconds to import on a busy box, and a stack of another substrate has no use for it. So what
needs it is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pulumi

from components.plan.config_values import Reader
from components.plan.debian import check_http3
from components.plan.settings import Settings
from components.plan.topology import BALANCERS
from components.steps.drift import Drift, States
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.substrates.aws import zones
from components.substrates.aws.release import release_of
from components.substrates.aws.settings import KEY, check_aws, read_aws


class Aws:
    """The substrate `aws`."""

    KEYS: Mapping[str, Any] = {KEY: {}}
    PROTECTED = True

    def __init__(self, reader: Reader, *, chosen: bool) -> None:
        self.settings = read_aws(reader)

    def check(self, reader: Reader, settings: Settings, secret_keys: Collection[str]) -> None:
        """Notes what breaks rules about several keys at once."""
        check_aws(reader, self.settings, settings)

    def plan(self, settings: Settings, last: LastUpdate) -> zones.CloudTopology:
        """Plans the cluster over the configured zones, or over those that the account has.

        Raises:
            ConfigError: the account, as far as it may be asked, has not what the settings name; or the machines run
                another release of Debian, or one whose HAProxy lacks what the settings ask for.
        """
        from components.substrates.aws import account  # noqa: PLC0415 - see above

        debian = release_of(settings.debian, last, own_image=self.settings.ami is not None)
        if settings.http3:
            check_http3(dict.fromkeys(BALANCERS, debian))
        region = account.look_up(self.settings, settings.network, settings.php_nodes, debian)
        network = settings.network or zones.default_network(pulumi.get_stack())
        return zones.plan(network, region, settings.php_nodes, settings.profile)

    def states(self, names: tuple[str, ...]) -> States:
        """Nothing: the provider itself sees with `pulumi up --refresh` what has become of an instance."""
        return {}

    def create(self, settings: Settings, plan: zones.CloudTopology, drift: Drift) -> Mapping[str, Machine]:
        """Makes the machines of a plan."""
        from components.substrates.aws import cloud  # noqa: PLC0415 - see above

        return cloud.create(settings, self.settings, plan, drift)
