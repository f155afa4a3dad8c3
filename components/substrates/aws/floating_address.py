"""The floating IP: an Elastic IP, and the right of the balancers to move it, and nothing else.

The program makes the address and never its association: keepalived decides whose it is
(scripts/hosts/balancer/elastic-ip), and no `up` may undo that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from components.substrates.aws.names import prefix, tags

ROLE_PREFIX_LENGTH = 38
"""The longest prefix of a role's name (IAM adds 26 characters of 64)."""


def move_policy(address: str, interfaces: list[str]) -> str:
    """What the balancers may do: associate this address with these interfaces, and look where it is.

    DescribeAddresses knows no resources (Service Authorization Reference, Amazon EC2).

    Args:
        address: ARN of the Elastic IP.
        interfaces: ARNs of the balancers' network interfaces.
    """
    statements = [
        {"Effect": "Allow", "Action": "ec2:AssociateAddress", "Resource": [address, *interfaces]},
        {"Effect": "Allow", "Action": "ec2:DescribeAddresses", "Resource": "*"},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


_ASSUMED_BY_INSTANCES = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}},
        ],
    }
)


class FloatingAddress(pulumi.ComponentResource):
    """An Elastic IP and the balancers' role.

    Attributes:
        address: The public address.
        allocation: The resource of the address. The balancers' interfaces come after it, and so go before it: the
            address of an interface that is gone is free, and only a free one can be given back.
        profile: Name of the instance profile of the balancers.
    """

    address: pulumi.Output[str]
    allocation: aws.ec2.Eip
    profile: pulumi.Output[str]

    def __init__(self) -> None:
        super().__init__("php-cluster:aws:FloatingAddress", "floating-address", None)
        child = pulumi.ResourceOptions(parent=self)
        self.allocation = aws.ec2.Eip(
            "site-address",
            domain="vpc",
            tags=tags("site-address", role="balancers"),
            # Whoever holds it is keepalived's business, whatever a refresh has seen.
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=["instance", "networkInterface", "associateWithPrivateIp"]
            ),
        )
        self.address = self.allocation.public_ip
        self._role = aws.iam.Role(
            "balancer-role",
            name_prefix=prefix("balancer", ROLE_PREFIX_LENGTH),
            assume_role_policy=_ASSUMED_BY_INSTANCES,
            tags=tags("balancer-role", role="balancers"),
            opts=child,
        )
        self.profile = aws.iam.InstanceProfile(
            "balancer-profile",
            name_prefix=prefix("balancer", ROLE_PREFIX_LENGTH),
            role=self._role.name,
            tags=tags("balancer-profile", role="balancers"),
            opts=child,
        ).name
        self.register_outputs({"address": self.address})

    def allow(self, interfaces: Mapping[str, aws.ec2.NetworkInterface]) -> pulumi.Resource:
        """Lets the balancers move the address between their interfaces."""
        arns = pulumi.Output.all(*[interface.arn for interface in interfaces.values()])
        policy: pulumi.Resource = aws.iam.RolePolicy(
            "move-site-address",
            role=self._role.id,
            policy=pulumi.Output.all(address=self.allocation.arn, interfaces=arns).apply(
                lambda known: move_policy(known["address"], known["interfaces"])
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return policy

    def settings(
        self, balancer: str, region: str, interfaces: Mapping[str, tuple[pulumi.Output[str], str]]
    ) -> pulumi.Output[str]:
        """JSON for the mover on a balancer; `interfaces` are id and private address for visitors, by balancer."""
        ids = pulumi.Output.all(**{name: known[0] for name, known in interfaces.items()})
        return pulumi.Output.all(allocation=self.allocation.id, ids=ids).apply(
            lambda known: json.dumps(
                {
                    "region": region,
                    "allocation": known["allocation"],
                    "self": balancer,
                    "interfaces": {
                        name: {"id": known["ids"][name], "address": address}
                        for name, (_, address) in interfaces.items()
                    },
                },
                indent=1,
            )
        )
