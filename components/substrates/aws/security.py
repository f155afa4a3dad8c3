"""Who may talk to whom: one security group for each role, one rule for each conversation.

What is not listed is refused, in both directions. The names of groups stand for all machines of a role; the world is
written as networks. The cloud's own name server, clock and metadata are outside of what security groups filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.balancer.load_balancer import MEMBERS_PORT, STATISTICS_PORT
from components.plan.topology import ARBITER_PORT, FIRST_NODE, INNER_PORT, PlannedMachine, Role
from components.substrates.aws.names import name, tags
from components.substrates.aws.network import EVERYWHERE
from components.substrates.aws.settings import AwsSettings, Egress

BALANCERS, NODES, ARBITER = "balancers", "nodes", "arbiter"

VRRP = "112"
"""An IP protocol, not a port."""

GLUSTER_DAEMON = (24007, 24007)
GLUSTER_BRICKS = (49152, 60999)
"""Brick ports are drawn at random from these (base-port and max-port of glusterd.vol)."""


@dataclass(frozen=True)
class Conversation:
    """Packets that one side may begin to send to the other.

    Attributes:
        name: What it is for.
        source: A group, or a network.
        target: A group, or a network.
        protocol: `tcp`, or the number of an IP protocol.
        ports: First and last; None for a protocol without ports.
    """

    name: str
    source: str
    target: str
    protocol: str
    ports: tuple[int, int] | None


def conversations(settings: AwsSettings, *, tls: bool, arbiter: bool) -> tuple[Conversation, ...]:
    """All that a cluster has to say."""
    web = [(80, 80), (443, 443)]
    found = [
        Conversation(f"web-{ports[0]}-from-{index}", network, BALANCERS, "tcp", ports)
        for ports in (web if tls else web[:1])
        for index, network in enumerate(settings.web_cidrs, start=1)
    ]
    found += [
        Conversation(f"ssh-from-{index}", network, BALANCERS, "tcp", (22, 22))
        for index, network in enumerate(settings.ssh_cidrs, start=1)
    ]
    found += [
        Conversation("ssh", BALANCERS, NODES, "tcp", (22, 22)),
        Conversation("pages", BALANCERS, NODES, "tcp", (80, 80)),
        Conversation("health", BALANCERS, NODES, "tcp", (INNER_PORT, INNER_PORT)),
        Conversation("members", NODES, BALANCERS, "tcp", (MEMBERS_PORT, MEMBERS_PORT)),
        Conversation("vrrp", BALANCERS, BALANCERS, VRRP, None),
        Conversation("watch", BALANCERS, BALANCERS, "tcp", (STATISTICS_PORT, STATISTICS_PORT)),
    ]
    # Clients ask the daemon of each brick's machine for the brick's port; the bricks' machines heal each other.
    for source in (BALANCERS, NODES):
        found.append(Conversation(f"gluster-{source}-{BALANCERS}", source, BALANCERS, "tcp", GLUSTER_DAEMON))
        found.append(Conversation(f"bricks-{source}-{BALANCERS}", source, BALANCERS, "tcp", GLUSTER_BRICKS))
        if arbiter:
            found.append(Conversation(f"{ARBITER}-{source}", source, ARBITER, "tcp", (ARBITER_PORT, ARBITER_PORT)))
    # Packages; for the balancers the cloud's API too.
    for source in (BALANCERS, NODES):
        found += [Conversation(f"out-{ports[0]}-{source}", source, EVERYWHERE, "tcp", ports) for ports in web]
    if settings.egress is Egress.BALANCERS:
        # What a node sends through a balancer has to get into it first.
        found += [Conversation(f"through-{ports[0]}", NODES, BALANCERS, "tcp", ports) for ports in web]
    return tuple(found)


class SecurityGroups(pulumi.ComponentResource):
    """The groups with their rules.

    Attributes:
        rules: What has to be there before machines can talk.
    """

    rules: list[pulumi.Resource]

    def __init__(self, vpc_id: pulumi.Output[str], settings: AwsSettings, *, tls: bool, arbiter: bool) -> None:
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
        for each in conversations(settings, tls=tls, arbiter=arbiter):
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
