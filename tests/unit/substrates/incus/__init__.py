"""A fourth substrate: machines as Incus containers. Planned and asked for in tests; nothing of it is ever run.

It is what somebody would put into components/substrates/incus/, and imports only what the other substrates do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import pulumi
import pulumi_command as command

from components.plan import topology
from components.plan.config_values import Reader, matching
from components.plan.settings import Settings
from components.plan.topology import PlannedMachine, Topology
from components.steps.drift import Drift, States
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import with_scripts
from components.substrates.ssh_keys import KeyPair, key_pair

_WORD = re.compile(r"[a-z][a-z0-9-]*")


class Incus:
    """The substrate `incus`."""

    KEYS: Mapping[str, Any] = {"incus": {}}
    PROTECTED = True

    def __init__(self, reader: Reader, *, chosen: bool) -> None:
        below = reader.below("incus", {"bridge": "incusbr0", "pool": ""}, example="bridge incusbr0")
        self.bridge = below.read("bridge", matching(_WORD), "the name of a bridge", "bridge incusbr0", "")
        least = _WORD if chosen else re.compile(f"({_WORD.pattern})?")
        self.pool = below.read("pool", matching(least), "the name of a storage pool", "pool default", "")

    def check(self, reader: Reader, settings: Settings, secret_keys: Collection[str]) -> None:
        """The bridge is there already, with a network of its own."""
        if settings.network is None:
            reader.refuse("network", "that of the bridge", "network 198.18.5.0/24")

    def plan(self, settings: Settings, last: LastUpdate) -> Topology:
        """Plans the cluster in the bridge's network."""
        return topology.plan(settings.network or "", settings.php_nodes, settings.profile, settings.floating_ip)

    def states(self, names: tuple[str, ...]) -> States:
        """Nothing is known of them."""
        return {}

    def create(self, settings: Settings, plan: Topology, drift: Drift) -> Mapping[str, Machine]:
        """Makes the machines of a plan."""
        substrate = pulumi.ComponentResource("php-cluster:incus:IncusSubstrate", "incus")
        login = key_pair("login-key", substrate)
        return {planned.name: self._machine(planned, login, drift, substrate) for planned in plan.machines}

    def _machine(self, planned: PlannedMachine, login: KeyPair, drift: Drift, parent: pulumi.Resource) -> Machine:
        host_key = key_pair(f"{planned.name}-host-key", parent)
        container = f"{pulumi.get_stack()}-{planned.name}"
        devices = {
            "eth0": {"type": "nic", "network": self.bridge, "ipv4.address": planned.address},
            **({"data": {"type": "disk", "pool": self.pool, "path": "/data"}} if planned.has_brick else {}),
        }
        keys = pulumi.Output.all(private=host_key.private, login=login.public)
        running = command.local.Command(
            f"{planned.name}-machine",
            create=f"incus launch images:debian/12/cloud {container}",
            delete=f"incus delete --force {container}",
            # JSON is YAML, which `incus launch` reads as the configuration of an instance.
            stdin=keys.apply(
                lambda keys: json.dumps(
                    {
                        "devices": devices,
                        "config": {
                            "user.user-data": "#cloud-config\n"
                            + json.dumps(
                                {
                                    "ssh_keys": {"ed25519_private": keys["private"]},
                                    "ssh_authorized_keys": [keys["login"]],
                                }
                            )
                        },
                    }
                )
            ),
            triggers=[planned.address, host_key.public],
            opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
        )
        connection = command.remote.ConnectionArgs(
            host=planned.address, user="root", private_key=login.private, host_key=host_key.public
        )
        return with_scripts(
            Machine(
                name=planned.name,
                role=planned.role,
                identity=running.id,
                address=planned.address,
                interface="eth0",
                brick_source="/data",
                connection=connection,
                user="root",
                ssh_command=f"incus exec {container} -- bash",
                resource=running,
                drift=drift,
            ),
            parent,
        )
