"""Which subnet is where, and which machine in which subnet. Pure data, no Pulumi in it.

The network is cut into eight equal parts: public ones from the first, one for each balancer, private ones from the
fifth, one for each zone. A machine's place follows from its name alone, so that it stays when others come and go.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.plan.debian import Release
from components.plan.topology import (
    FIRST_PHP_OFFSET,
    FLOATING_IP_OFFSET,
    PlannedMachine,
    Profile,
    Topology,
    machines_at,
    required_addresses,
)

PARTS = 8
FIRST_PRIVATE_PART = 4
ZONES_OF_BALANCERS = 2
LARGEST_PREFIX, SMALLEST_PREFIX = 16, 28
"""The sizes that a VPC may have (Amazon VPC user guide, VPC CIDR blocks); a subnet may be as small as a /28 too."""


@dataclass(frozen=True)
class Subnet:
    """A part of the network in one zone.

    Attributes:
        name: `public-1`, `private-3` …: stays the same whatever the zone is called.
        zone: Full name of its availability zone.
        network: Its addresses.
        public: Whether its way out is the internet gateway.
    """

    name: str
    zone: str
    network: ipaddress.IPv4Network
    public: bool


@dataclass(frozen=True)
class Region:
    """Where the cluster goes.

    Attributes:
        name: The region.
        zones: Two or three availability zones of it.
        images: Instance type to the image that its machines start from.
        gateway: Internet gateway of an existing VPC; None where the stack makes its own.
        debian: The release that its machines run.
    """

    name: str
    zones: tuple[str, ...]
    images: Mapping[str, str]
    gateway: str | None
    debian: Release


@dataclass(frozen=True)
class CloudTopology(Topology):
    """A plan that knows where it goes, so that the account is looked at once.

    Attributes:
        region: What the account has for it.
    """

    region: Region


def default_network(stack: str) -> str:
    """One of 256 networks of size 20 in 10.64.0.0/12: stacks that are joined later are likely to differ."""
    index = hashlib.sha256(stack.encode()).digest()[0]
    return f"10.{64 + index // 16}.{index % 16 * 16}.0/20"


def required_network(php_nodes: int) -> int:
    """The largest prefix length of a network that has room for this many PHP nodes."""
    return 32 - (PARTS * required_addresses(php_nodes) - 1).bit_length()


def free_part(
    blocks: Sequence[ipaddress.IPv4Network], taken: Sequence[ipaddress.IPv4Network], prefix: int
) -> ipaddress.IPv4Network | None:
    """The first part of these networks that nobody has, with a prefix of this length; None where there is none."""
    for block in blocks:
        if block.prefixlen <= prefix:
            for part in block.subnets(new_prefix=prefix):
                if not any(part.overlaps(other) for other in taken):
                    return part
    return None


def _part(network: ipaddress.IPv4Network, index: int) -> ipaddress.IPv4Network:
    return list(network.subnets(prefixlen_diff=PARTS.bit_length() - 1))[index]


def subnets(network: ipaddress.IPv4Network, zones: Sequence[str]) -> tuple[Subnet, ...]:
    """Public subnets in the first two zones, private ones in each."""
    public = [
        Subnet(f"public-{index + 1}", zone, _part(network, index), public=True)
        for index, zone in enumerate(zones[:ZONES_OF_BALANCERS])
    ]
    private = [
        Subnet(f"private-{index + 1}", zone, _part(network, FIRST_PRIVATE_PART + index), public=False)
        for index, zone in enumerate(zones)
    ]
    return (*public, *private)


def _zone_of_node(number: int, zones: int) -> int:
    """php1, the arbiter's node, has the third zone where there is one; the others share the balancers' two."""
    if number == 1 and zones > ZONES_OF_BALANCERS:
        return ZONES_OF_BALANCERS
    return number % ZONES_OF_BALANCERS


def plan(network: str, region: Region, php_nodes: int, profile: Profile) -> CloudTopology:
    """Plans a cluster over the zones of a region; the floating IP comes from the cloud."""
    net, zones = ipaddress.IPv4Network(network), len(region.zones)
    # Of each subnet the cloud keeps the first four addresses and the last for itself; machines begin at the eleventh.
    balancers = [str(_part(net, index)[FLOATING_IP_OFFSET + 1 + index]) for index in range(ZONES_OF_BALANCERS)]
    nodes = [
        str(_part(net, FIRST_PRIVATE_PART + _zone_of_node(number, zones))[FIRST_PHP_OFFSET + number])
        for number in range(1, php_nodes + 1)
    ]
    return CloudTopology(
        net,
        gateway="",
        floating_ip=None,
        machines=machines_at(balancers, nodes, profile),
        # Nothing but PHP nodes is in the private subnets.
        php_addresses=(f"{_part(net, FIRST_PRIVATE_PART)[0]}-{_part(net, FIRST_PRIVATE_PART + zones - 1)[-1]}",),
        region=region,
    )


def subnet_of(machine: PlannedMachine, among: Sequence[Subnet]) -> Subnet:
    """The subnet that a machine's address lies in."""
    address = ipaddress.IPv4Address(machine.address)
    return next(subnet for subnet in among if address in subnet.network)


def visitors_address(subnet: Subnet) -> str:
    """A balancer's second private address: it gets what is sent to the Elastic IP while this balancer holds that."""
    return str(subnet.network[FLOATING_IP_OFFSET])


def balancer_beside(subnet: Subnet, balancers: Sequence[PlannedMachine], among: Sequence[Subnet]) -> PlannedMachine:
    """The balancer in a subnet's own zone, or the first where there is none."""
    return next((one for one in balancers if subnet_of(one, among).zone == subnet.zone), balancers[0])
