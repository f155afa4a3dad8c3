"""Who may talk to whom: one security group for each role, one rule for each conversation.

What is not listed is refused, in both directions. The names of groups stand for all machines of a role; the world is
written as networks. The cloud's own name server, clock and metadata are outside of what security groups filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.plan.topology import FIRST_NODE, PlannedMachine, Role
from components.plan.traffic import SSH_PORT, Flow, Party, flows
from components.substrates.aws.names import name, tags
from components.substrates.aws.network import EVERYWHERE
from components.substrates.aws.settings import AwsSettings, Egress

BALANCERS, NODES, ARBITER = Party.BALANCERS.value, Party.NODES.value, Party.ARBITER.value


@dataclass(frozen=True)
class Conversation:
    """Packets that one side may begin to send to the other.

    Attributes:
        name: What it is for.
        source: A group, or a network.
        target: A group, or a network.
        protocol: `tcp`, `udp`, or the number of an IP protocol.
        ports: First and last; None for a protocol without ports.
    """

    name: str
    source: str
    target: str
    protocol: str
    ports: tuple[int, int] | None


_TARGETS = {Party.INTERNET: EVERYWHERE, Party.WRITERS: NODES}
"""Where these are, in this cloud; others are groups of their names."""


def conversations(
    settings: AwsSettings, *, tls: bool, http3: bool, acme: bool, arbiter: bool, log: bool, metrics_from: Sequence[str]
) -> tuple[Conversation, ...]:
    """All that a cluster has to say: the flows of plan/traffic.py, between groups and networks."""
    found: list[Conversation] = []
    for flow in flows(tls=tls, http3=http3, acme=acme, arbiter=arbiter, log=log, metrics=bool(metrics_from)):
        target = _TARGETS.get(flow.target, flow.target.value)
        for rule, source in _sources(flow, settings, metrics_from).items():
            found.append(Conversation(rule, source, target, flow.protocol, flow.ports))
        if settings.egress is Egress.BALANCERS and flow.source is Party.NODES and flow.target is Party.INTERNET:
            # What a node sends through a balancer has to get into it first.
            rule = flow.name.replace("out", "through").removesuffix(f"-{NODES}")
            found.append(Conversation(rule, NODES, BALANCERS, flow.protocol, flow.ports))
    return tuple(found)


def _sources(flow: Flow, settings: AwsSettings, metrics_from: Sequence[str]) -> Mapping[str, str]:
    """What the source of a flow is in this cloud: names of rules, and a group or a network for each."""
    if not flow.source.is_outside:
        return {flow.name: flow.source.value}
    networks = metrics_from if flow.source is Party.MONITORING else settings.web_cidrs
    if flow.source is Party.OPERATORS:
        # They come by SSH, to the balancers: the nodes have no public addresses. All else they reach from there.
        if flow.ports != (SSH_PORT, SSH_PORT):
            return {}
        if flow.target is not Party.BALANCERS:
            return {flow.name: BALANCERS}
        networks = settings.ssh_cidrs
    return {f"{flow.name}-from-{index}": network for index, network in enumerate(networks, start=1)}


class SecurityGroups(pulumi.ComponentResource):
    """The groups with their rules.

    Attributes:
        rules: What has to be there before machines can talk.
    """

    rules: list[pulumi.Resource]

    def __init__(
        self,
        vpc_id: pulumi.Output[str],
        settings: AwsSettings,
        *,
        tls: bool,
        http3: bool,
        acme: bool,
        arbiter: bool,
        log: bool,
        metrics_from: Sequence[str],
    ) -> None:
        super().__init__("php-cluster:aws:SecurityGroups", "security-groups", None)
        child = pulumi.ResourceOptions(parent=self)
        self._groups = {
            group: aws.ec2.SecurityGroup(
                group,
                name=name(group),
                description=f"php-cluster: {group}",
                vpc_id=vpc_id,
                tags=tags(group, role=group),
                opts=child,
            )
            for group in ([BALANCERS, NODES, ARBITER] if arbiter else [BALANCERS, NODES])
        }
        self.rules = []
        for each in conversations(
            settings, tls=tls, http3=http3, acme=acme, arbiter=arbiter, log=log, metrics_from=metrics_from
        ):
            if each.target in self._groups:
                self.rules.append(
                    self._rule(aws.vpc.SecurityGroupIngressRule, f"{each.name}-in", each.target, each.source, each)
                )
            if each.source in self._groups:
                self.rules.append(
                    self._rule(aws.vpc.SecurityGroupEgressRule, f"{each.name}-out", each.source, each.target, each)
                )
        self.register_outputs({})

    def _rule(self, kind: type, resource: str, group: str, other: str, said: Conversation) -> pulumi.Resource:
        peer = self._groups.get(other)
        rule: pulumi.Resource = kind(
            resource,
            security_group_id=self._groups[group].id,
            referenced_security_group_id=peer.id if peer else None,
            cidr_ipv4=None if peer else other,
            ip_protocol=said.protocol,
            # Null ports would be a change at every run for a protocol that has none; left out they are none.
            **({"from_port": said.ports[0], "to_port": said.ports[1]} if said.ports else {}),
            description=said.name,
            tags=tags(resource, role=group),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return rule

    def of(self, machine: PlannedMachine) -> Sequence[pulumi.Output[str]]:
        """The groups that a machine is in."""
        if machine.role is Role.LOAD_BALANCER:
            return [self._groups[BALANCERS].id]
        arbitrates = machine.name == FIRST_NODE and ARBITER in self._groups
        return [self._groups[group].id for group in ([NODES, ARBITER] if arbitrates else [NODES])]
