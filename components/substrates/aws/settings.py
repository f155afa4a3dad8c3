"""The settings of the substrate `aws`: what may stand below the config key `aws`. No look at the account."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.plan.config_values import (
    NAMESPACE,
    Reader,
    list_of,
    matching,
    one_of,
    optional,
    private_network,
    switch,
)
from components.plan.settings import Settings, refuse_upgrading
from components.substrates.aws import zones

KEY = "aws"

DEFAULTS: Mapping[str, Any] = {
    "vpcId": "",
    "zones": [],
    "ami": "",
    "balancerType": "t3.medium",
    "nodeType": "t3.medium",
    "webCidrs": ["0.0.0.0/0"],
    "sshCidrs": [],
    "egress": "nat",
    "terminationProtection": False,
}

_VPC_ID = re.compile(r"vpc-[0-9a-f]{8,17}")
_AMI = re.compile(r"ami-[0-9a-f]{8,17}")
_ZONE = re.compile(r"[a-z]{2}(-[a-z]+)+-\d[a-z0-9-]*[a-z]")
_INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")


class Egress(enum.Enum):
    """How PHP nodes reach package mirrors: a NAT gateway, or the load balancers, which cost nothing more."""

    NAT = "nat"
    BALANCERS = "balancers"


@dataclass(frozen=True)
class AwsSettings:
    """Checked settings of the substrate `aws`; docs/aws.md describes each."""

    vpc_id: str | None
    zones: tuple[str, ...]
    ami: str | None
    balancer_type: str
    node_type: str
    web_cidrs: tuple[str, ...]
    ssh_cidrs: tuple[str, ...]
    egress: Egress
    termination_protection: bool


def read_aws(top: Reader) -> AwsSettings:
    """Checks what is set below `aws`; what is absent takes its default, and what is wrong is noted."""
    reader = top.below(KEY, DEFAULTS, example="egress nat")
    cidrs = "a list of IPv4 networks in CIDR notation without host bits"
    return AwsSettings(
        vpc_id=reader.read(
            "vpcId", optional(matching(_VPC_ID)), "the id of a VPC", "vpcId vpc-0123456789abcdef0", None
        ),
        zones=reader.read(
            "zones",
            _zones,
            "a list of two or three availability zones of one region",
            "zones[0] eu-central-1a",
            (),
        ),
        ami=reader.read(
            "ami", optional(matching(_AMI)), "the id of an image of Debian", "ami ami-0123456789abcdef0", None
        ),
        balancer_type=reader.read(
            "balancerType", matching(_INSTANCE_TYPE), "an EC2 instance type", "balancerType t3.medium", ""
        ),
        node_type=reader.read("nodeType", matching(_INSTANCE_TYPE), "an EC2 instance type", "nodeType t3.medium", ""),
        web_cidrs=reader.read("webCidrs", list_of(private_network), cidrs, "webCidrs[0] 0.0.0.0/0", ()),
        ssh_cidrs=reader.read(
            "sshCidrs", _ssh_cidrs, f"{cidrs}, none larger than a /8", "sshCidrs[0] 203.0.113.7/32", ()
        ),
        egress=Egress(
            reader.read(
                "egress",
                one_of([egress.value for egress in Egress]),
                f"one of {', '.join(egress.value for egress in Egress)}",
                "egress nat",
                Egress.NAT.value,
            )
        ),
        termination_protection=reader.read(
            "terminationProtection", switch, "true or false", "terminationProtection true", False
        ),
    )


def check_aws(reader: Reader, aws: AwsSettings, settings: Settings) -> None:
    """Rules that hold when the substrate is `aws`, and about several keys at once."""
    if reader.values["floatingIp"]:
        reader.refuse("floatingIp", "absent: the cloud gives the address", "siteName www.example.org")
    if reader.values["floatingIp6"]:
        reader.refuse("floatingIp6", "absent: an Elastic IP is an IPv4 address, and moves alone", "floatingIp6 ''")
    refuse_upgrading(reader, settings)
    if not aws.ssh_cidrs and not any(".sshCidrs" in problem for problem in reader.problems):
        reader.problems.append(
            f"{NAMESPACE}:{KEY}.sshCidrs is not set\n    It must name the networks from which you log in: this program "
            f"does, too.\n    Example: pulumi config set --path '{KEY}.sshCidrs[0]' 203.0.113.7/32"
        )
    if settings.network is None:
        if aws.vpc_id:
            reader.refuse("network", f"set together with {KEY}.vpcId: a free part of that VPC", "network 10.64.16.0/20")
        return
    network, smallest = ipaddress.IPv4Network(settings.network), zones.required_network(settings.php_nodes)
    if not zones.LARGEST_PREFIX <= network.prefixlen <= smallest:
        reader.refuse(
            "network",
            f"a /{zones.LARGEST_PREFIX} to /{smallest}: the cloud has none larger, and {settings.php_nodes} PHP nodes "
            f"need that many addresses in each of {zones.PARTS} equal parts",
            f"network {network.network_address}/{smallest}" if network.prefixlen > smallest else "network 10.64.0.0/20",
        )


def _zones(value: Any) -> tuple[str, ...]:
    zones = list_of(matching(_ZONE))(value)
    if zones and not (2 <= len(set(zones)) == len(zones) <= 3):
        raise ValueError
    return zones


def _ssh_cidrs(value: Any) -> tuple[str, ...]:
    networks = list_of(private_network)(value)
    # Never from everywhere: the machines' addresses are known to all the world's scanners.
    if any(ipaddress.IPv4Network(network).prefixlen < 8 for network in networks):
        raise ValueError
    return networks
