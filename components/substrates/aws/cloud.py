"""Composes network, rights, addresses and machines, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.plan.settings import Settings
from components.plan.topology import PlannedMachine, Role, SessionStore
from components.steps.drift import Drift
from components.steps.machine import ElasticIp, Machine
from components.steps.remote import remote_step
from components.substrates.aws.advice import give_advice
from components.substrates.aws.floating_address import FloatingAddress
from components.substrates.aws.instances import AwsMachine, Interface, Place, interface_ids
from components.substrates.aws.names import prefix, tags
from components.substrates.aws.network import Network
from components.substrates.aws.security import ARBITER, SecurityGroups
from components.substrates.aws.settings import AwsSettings, Egress
from components.substrates.aws.zones import CloudTopology, balancer_beside, subnet_of, subnets, visitors_address
from components.substrates.ssh_keys import KeyPair, key_pair

KEY_PREFIX_LENGTH = 200
"""The name of a key pair has at most 255 characters, of which the provider adds 26."""


class AwsSubstrate(pulumi.ComponentResource):
    """All machines of a stack with what they share: network, security groups, floating IP, the key to log in with."""

    machines: dict[str, Machine]

    def __init__(self, settings: Settings, aws_settings: AwsSettings, plan: CloudTopology, drift: Drift) -> None:
        super().__init__("php-cluster:aws:AwsSubstrate", "aws", None)
        self._brick_gib, self._aws, self._plan, self._drift = settings.brick_gib, aws_settings, plan, drift
        self._subnets = subnets(plan.network, plan.region.zones)
        self._network = Network(plan, self._subnets, aws_settings.vpc_id, plan.region.gateway)
        self._groups = SecurityGroups(
            self._network.vpc_id,
            aws_settings,
            tls=settings.tls,
            http3=settings.http3,
            acme=settings.acme is not None,
            log=settings.session_store is SessionStore.LOG,
            # Once there they stay: an arbiter that leaves is in use until it has left.
            arbiter=plan.arbiter is not None or drift.last.has(ARBITER),
            metrics_from=settings.metrics_from,
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
        self.register_outputs({"region": plan.region.name})

    def _instance_type(self, planned: PlannedMachine) -> str:
        return self._aws.balancer_type if planned.role is Role.LOAD_BALANCER else self._aws.node_type

    def _place(self, planned: PlannedMachine, before: Sequence[pulumi.Resource]) -> Place:
        return Place(
            zone=self._network.zone(planned),
            subnet_id=self._network.subnet_id(planned),
            groups=self._groups.of(planned),
            image=self._plan.region.images[self._instance_type(planned)],
            debian=self._plan.region.debian,
            before=before,
        )

    def _machine(self, planned: PlannedMachine, before: Sequence[pulumi.Resource], **more: object) -> AwsMachine:
        return AwsMachine(
            planned,
            self._place(planned, before),
            self._aws,
            instance_type=self._instance_type(planned),
            login=self._login,
            key_name=self._key_name,
            brick_gib=self._brick_gib,
            drift=self._drift,
            parent=self,
            **more,  # type: ignore[arg-type]
        )

    def _balancers(self) -> dict[str, AwsMachine]:
        plan, routes = self._plan, self._aws.egress is Egress.BALANCERS
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
                    floating.settings(planned.name, plan.region.name, movers),
                ),
            )
            for planned in plan.balancers
        }

    def _nodes(self, balancers: Mapping[str, AwsMachine]) -> dict[str, AwsMachine]:
        plan, egress = self._plan, self._aws.egress
        routing = (
            [
                remote_step(
                    f"{name}-router",
                    one.machine,
                    "base/router.sh",
                    parent=one,
                    variables={"NETWORK": str(plan.network)},
                    files={"ROUTER_SERVICE": "base/router.service"},
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


def create(settings: Settings, aws_settings: AwsSettings, plan: CloudTopology, drift: Drift) -> Mapping[str, Machine]:
    """Makes the machines of a plan."""
    give_advice()
    return AwsSubstrate(settings, aws_settings, plan, drift).machines
