"""Composes network, rights, addresses and machines, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.plan.aws_settings import Egress
from components.plan.settings import Settings
from components.plan.topology import PlannedMachine, Role, Topology
from components.plan.zones import balancer_beside, subnet_of, subnets, visitors_address
from components.steps.drift import Drift
from components.steps.machine import ElasticIp, Machine
from components.steps.remote import remote_step
from components.substrates.aws.account import Region, check
from components.substrates.aws.advice import give_advice
from components.substrates.aws.floating_address import FloatingAddress
from components.substrates.aws.instances import AwsMachine, Interface, Place, interface_ids
from components.substrates.aws.names import prefix, tags
from components.substrates.aws.network import Network
from components.substrates.aws.security import ARBITER, SecurityGroups
from components.substrates.ssh_keys import KeyPair, key_pair

KEY_PREFIX_LENGTH = 200
"""The name of a key pair has at most 255 characters, of which the provider adds 26."""


class AwsSubstrate(pulumi.ComponentResource):
    """All machines of a stack with what they share: network, security groups, floating IP, the key to log in with."""

    machines: dict[str, Machine]

    def __init__(self, settings: Settings, plan: Topology, region: Region, drift: Drift) -> None:
        super().__init__("php-cluster:aws:AwsSubstrate", "aws", None)
        self._settings, self._plan, self._region, self._drift = settings, plan, region, drift
        self._subnets = subnets(plan.network, region.zones)
        self._network = Network(plan, self._subnets, settings.aws.vpc_id, region.gateway)
        self._groups = SecurityGroups(
            self._network.vpc_id,
            settings.aws,
            tls=settings.tls_certificate is not None,
            # Once there they stay: an arbiter that leaves is in use until it has left.
            arbiter=plan.arbiter is not None or ARBITER in drift.known,
        )
        self._login: KeyPair = key_pair("login-key", self)
        self._key_name = aws.ec2.KeyPair(
            "login",
            key_name_prefix=prefix("login", KEY_PREFIX_LENGTH),
            public_key=self._login.public,
            tags=tags("login", role="login"),
            opts=pulumi.ResourceOptions(parent=self),
        ).key_name
        balancers = self._balancers()
        nodes = self._nodes(balancers)
        made = {**balancers, **nodes}
        self.machines = {planned.name: made[planned.name].machine for planned in plan.machines}
        pulumi.export("sshPrivateKey", self._login.private)
        pulumi.export("knownHosts", pulumi.Output.all(*[one.known_host for one in made.values()]).apply("\n".join))
        self.register_outputs({"region": region.name})

    def _place(self, planned: PlannedMachine, before: Sequence[pulumi.Resource]) -> Place:
        aws_settings = self._settings.aws
        kind = aws_settings.balancer_type if planned.role is Role.LOAD_BALANCER else aws_settings.node_type
        return Place(
            zone=self._network.zone(planned),
            subnet_id=self._network.subnet_id(planned),
            groups=self._groups.of(planned),
            image=self._region.images[kind],
            before=before,
        )

    def _machine(self, planned: PlannedMachine, before: Sequence[pulumi.Resource], **more: object) -> AwsMachine:
        aws_settings = self._settings.aws
        return AwsMachine(
            planned,
            self._place(planned, before),
            aws_settings,
            instance_type=aws_settings.balancer_type if planned.role is Role.LOAD_BALANCER else aws_settings.node_type,
            login=self._login,
            key_name=self._key_name,
            brick_gib=self._settings.brick_gib,
            drift=self._drift,
            parent=self,
            **more,  # type: ignore[arg-type]
        )

    def _balancers(self) -> dict[str, AwsMachine]:
        plan, routes = self._plan, self._settings.aws.egress is Egress.BALANCERS
        floating = FloatingAddress()
        local = {planned.name: visitors_address(subnet_of(planned, self._subnets)) for planned in plan.balancers}
        self._interfaces = {
            planned.name: Interface(
                planned,
                self._place(planned, []),
                local[planned.name],
                routes=routes,
                parent=self,
                depends_on=[floating.allocation],
            )
            for planned in plan.balancers
        }
        allowed = floating.allow({name: each.interface for name, each in self._interfaces.items()})
        movers = {name: (id_, local[name]) for name, id_ in interface_ids(self._interfaces).items()}
        return {
            planned.name: self._machine(
                planned,
                [*self._network.ways_out, *self._groups.rules, allowed],
                interface=self._interfaces[planned.name],
                profile=floating.profile,
                elastic_ip=ElasticIp(
                    floating.address,
                    local[planned.name],
                    floating.settings(planned.name, self._region.name, movers),
                ),
            )
            for planned in plan.balancers
        }

    def _nodes(self, balancers: Mapping[str, AwsMachine]) -> dict[str, AwsMachine]:
        plan, egress = self._plan, self._settings.aws.egress
        routing = (
            [
                remote_step(
                    f"{name}-router",
                    one.machine,
                    "base/router.sh",
                    parent=one,
                    variables={"NETWORK": str(plan.network)},
                )
                for name, one in balancers.items()
            ]
            if egress is Egress.BALANCERS
            else []
        )
        before = self._network.private_ways_out(
            egress, interface_ids(self._interfaces), [*routing, *self._groups.rules]
        )
        return {
            planned.name: self._machine(
                planned,
                before,
                through=balancers[
                    balancer_beside(subnet_of(planned, self._subnets), plan.balancers, self._subnets).name
                ],
            )
            for planned in plan.php_nodes
        }


def create(settings: Settings, plan: Topology, drift: Drift) -> Mapping[str, Machine]:
    """Makes the machines of a plan in the region that the settings name."""
    give_advice()
    return AwsSubstrate(settings, plan, check(settings.aws, settings.network, settings.php_nodes), drift).machines
