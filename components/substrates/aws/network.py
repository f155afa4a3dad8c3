"""The network: a VPC or a part of one, its subnets, and the ways out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.plan.topology import PlannedMachine, Topology
from components.substrates.aws.names import tags
from components.substrates.aws.settings import Egress
from components.substrates.aws.zones import Subnet, balancer_beside, subnet_of

EVERYWHERE = "0.0.0.0/0"


class Network(pulumi.ComponentResource):
    """Subnets in two or three zones. Public ones go out by the internet gateway; private ones have no way out yet.

    Attributes:
        vpc_id: The VPC.
        subnet_ids: Name of a subnet to its id.
        ways_out: The routes of the public subnets: what needs the internet comes after them.
    """

    vpc_id: pulumi.Output[str]
    subnet_ids: Mapping[str, pulumi.Output[str]]
    ways_out: list[pulumi.Resource]

    def __init__(self, plan: Topology, subnets: Sequence[Subnet], vpc_id: str | None, gateway_id: str | None) -> None:
        super().__init__("php-cluster:aws:Network", "network", None)
        child = pulumi.ResourceOptions(parent=self)
        self.plan, self.subnets = plan, subnets
        if vpc_id and gateway_id:
            self.vpc_id, gateway = pulumi.Output.from_input(vpc_id), pulumi.Output.from_input(gateway_id)
        else:
            vpc = aws.ec2.Vpc("vpc", cidr_block=str(plan.network), tags=tags("vpc"), opts=child)
            self.vpc_id = vpc.id
            gateway = aws.ec2.InternetGateway("gateway", vpc_id=vpc.id, tags=tags("gateway"), opts=child).id
        self.subnet_ids = {
            subnet.name: aws.ec2.Subnet(
                subnet.name,
                vpc_id=self.vpc_id,
                cidr_block=str(subnet.network),
                availability_zone=subnet.zone,
                # The balancers bring public addresses of their own; nothing else that comes here gets one.
                map_public_ip_on_launch=False,
                tags=tags(subnet.name),
                opts=child,
            ).id
            for subnet in subnets
        }
        public = self._table("public", [subnet for subnet in subnets if subnet.public])
        self.ways_out = [
            aws.ec2.Route(
                "public-default",
                route_table_id=public[0],
                destination_cidr_block=EVERYWHERE,
                gateway_id=gateway,
                opts=child,
            ),
            *public[1],
        ]
        self.register_outputs({})

    def _table(self, name: str, subnets: Sequence[Subnet]) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
        """A route table of these subnets, and what ties it to them."""
        child = pulumi.ResourceOptions(parent=self)
        table = aws.ec2.RouteTable(f"{name}-table", vpc_id=self.vpc_id, tags=tags(f"{name}-table"), opts=child)
        return table.id, [
            aws.ec2.RouteTableAssociation(
                f"{subnet.name}-routes", subnet_id=self.subnet_ids[subnet.name], route_table_id=table.id, opts=child
            )
            for subnet in subnets
        ]

    def private_ways_out(
        self, egress: Egress, balancers: Mapping[str, pulumi.Input[str]], before: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Gives the private subnets a way out, for packages; comes before the machines in them.

        Args:
            egress: By a NAT gateway in the first zone, or by the balancer of each zone.
            balancers: Name to network interface.
            before: What a way out comes after: the rules that let packets through, and the steps after which the
                balancers route. Machines that wait for their way out need not wait for each of these by name, which
                would be most of what the engine is told of a large cluster.
        """
        private = [subnet for subnet in self.subnets if not subnet.public]
        if egress is Egress.NAT:
            return self._by_nat_gateway(private, before)
        return [
            resource
            for subnet in private
            for resource in self._by_balancer(
                subnet, balancer_beside(subnet, self.plan.balancers, self.subnets), balancers, before
            )
        ]

    def _by_nat_gateway(self, private: Sequence[Subnet], before: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        child = pulumi.ResourceOptions(parent=self)
        # One for all zones: without it nodes cannot install packages, but they go on serving.
        address = aws.ec2.Eip("nat", domain="vpc", tags=tags("nat"), opts=child)
        gateway = aws.ec2.NatGateway(
            "nat-gateway",
            subnet_id=self.subnet_ids["public-1"],
            allocation_id=address.id,
            tags=tags("nat-gateway"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=self.ways_out),
        )
        table, ties = self._table("private", private)
        route = aws.ec2.Route(
            "private-default",
            route_table_id=table,
            destination_cidr_block=EVERYWHERE,
            nat_gateway_id=gateway.id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=before),
        )
        return [route, *ties]

    def _by_balancer(
        self,
        subnet: Subnet,
        balancer: PlannedMachine,
        balancers: Mapping[str, pulumi.Input[str]],
        before: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        table, ties = self._table(subnet.name, [subnet])
        route = aws.ec2.Route(
            f"{subnet.name}-default",
            route_table_id=table,
            destination_cidr_block=EVERYWHERE,
            network_interface_id=balancers[balancer.name],
            opts=pulumi.ResourceOptions(parent=self, depends_on=before),
        )
        return [route, *ties]

    def subnet_id(self, machine: PlannedMachine) -> pulumi.Output[str]:
        """The subnet of a machine."""
        return self.subnet_ids[subnet_of(machine, self.subnets).name]

    def zone(self, machine: PlannedMachine) -> str:
        """The availability zone of a machine."""
        return subnet_of(machine, self.subnets).zone
