"""The plan of a cluster: names, roles, addresses, bricks. Pure data, no Pulumi in it."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

FLOATING_IP_OFFSET = 10
"""Default place of the floating IP in the network; the load balancers follow it."""

FIRST_PHP_OFFSET = 20
"""php1 is at the network's address plus 21. The gap leaves room for what an operator adds by hand."""

MAX_PHP_NODES = 64

BALANCERS = ("lb1", "lb2")
FIRST_NODE = "php1"
"""The PHP node that always exists: what one node does for all is done there. It removes expired sessions, and runs the
arbiter if there is one."""

LOG_WRITERS = ("php1", "php2", "php3")
"""The PHP nodes that can write the log of sessions. Each has all sessions in memory; others send them theirs."""

ARBITER_FOLDER = "/var/lib/php-cluster/arbiter"
"""Where it notes which brick is outdated. A few bytes, on the machine's own disk."""

SHARED_BRICK_DISK = "/session"
"""Where a brick's disk is mounted, the article's path."""

BRICK = f"{SHARED_BRICK_DISK}/brick"
"""Gluster wants a brick to be a folder below a mount point: should the disk be missing, the folder is missing too,
and the brick stays down rather than fill the root disk."""

VOLUME = "sessions"
MOUNT_POINT = "/media/sessions"

FILES_VOLUME = "files"
FILES_BRICK = f"{SHARED_BRICK_DISK}/files"
FILES_MOUNT_POINT = "/media/files"
"""What a site shares beside its sessions (components/site/shared_files.py), on the same disks."""

DRAIN_SECONDS = 30
"""How long a PHP node that leaves, or a PHP that is replaced, may take for the requests that it has begun."""


class Role(enum.Enum):
    """What runs on a machine."""

    LOAD_BALANCER = "load balancer"
    PHP = "PHP node"


class Profile(enum.Enum):
    """How sessions are stored: as the article does it, or so that none is lost."""

    SAFE = "safe"
    ARTICLE = "article"


class SessionStore(enum.Enum):
    """Where profile safe has sessions on the volume: a file for each, or one log of all."""

    FILES = "files"
    LOG = "log"


@dataclass(frozen=True)
class PlannedMachine:
    """A machine as the plan knows it.

    Attributes:
        name: `lb1`, `lb2`, `php1` …
        role: What runs on it.
        address: Private IPv4 address.
        is_arbiter: Whether it says which brick counts when they cannot agree.
    """

    name: str
    role: Role
    address: str
    is_arbiter: bool = False

    @property
    def has_brick(self) -> bool:
        """Whether it holds a brick, and so needs a disk for one: balancers do."""
        return self.role is Role.LOAD_BALANCER

    @property
    def serves_gluster(self) -> bool:
        """Whether Gluster's clients connect to it: as a brick host, or as the machine that arbitrates, or will when the
        profile of a living cluster changes."""
        return self.has_brick or self.name == FIRST_NODE


@dataclass(frozen=True)
class Topology:
    """The whole plan.

    Attributes:
        network: The private network of all machines.
        gateway: The first address of it, the machines' way out.
        floating_ip: The address that one of the load balancers owns; None where it is made together with the machines.
        machines: Every machine, load balancers first.
        php_addresses: What addresses a PHP node may have: single ones, and ranges as `first-last`.
        floating_ip6: The IPv6 address that goes with the floating IP, for visitors; None without.
    """

    network: ipaddress.IPv4Network
    gateway: str
    floating_ip: str | None
    machines: tuple[PlannedMachine, ...]
    php_addresses: tuple[str, ...]
    floating_ip6: str | None = field(default=None, kw_only=True)

    @property
    def balancers(self) -> tuple[PlannedMachine, ...]:
        """lb1 and lb2, which are the members of the trusted storage pool, too."""
        return tuple(machine for machine in self.machines if machine.role is Role.LOAD_BALANCER)

    @property
    def php_nodes(self) -> tuple[PlannedMachine, ...]:
        """php1 … phpN."""
        return tuple(machine for machine in self.machines if machine.role is Role.PHP)

    @property
    def arbiter(self) -> PlannedMachine | None:
        """The machine that arbitrates between the bricks, where the profile has one."""
        return next((machine for machine in self.machines if machine.is_arbiter), None)

    @property
    def host_table(self) -> str:
        """Lines for /etc/hosts, of the machines that serve Gluster: another PHP node must not touch the others."""
        return "".join(f"{machine.address} {machine.name}\n" for machine in self.machines if machine.serves_gluster)


def required_addresses(php_nodes: int) -> int:
    """The smallest number of addresses that a network needs for this many PHP nodes, its broadcast address included."""
    return FIRST_PHP_OFFSET + php_nodes + 2


def machines_at(
    balancer_addresses: Sequence[str], node_addresses: Sequence[str], profile: Profile
) -> tuple[PlannedMachine, ...]:
    """The machines at these addresses, each with its name and role."""
    safe = profile is Profile.SAFE
    balancers = tuple(
        PlannedMachine(name, Role.LOAD_BALANCER, address)
        for name, address in zip(BALANCERS, balancer_addresses, strict=True)
    )
    nodes = tuple(
        PlannedMachine(
            f"php{number}",
            Role.PHP,
            address,
            is_arbiter=safe and f"php{number}" == FIRST_NODE,
        )
        for number, address in enumerate(node_addresses, start=1)
    )
    return balancers + nodes


def plan(network: str, php_nodes: int, profile: Profile, floating_ip: str | None = None) -> Topology:
    """Plans a cluster.

    Args:
        network: IPv4 network in CIDR notation.
        php_nodes: How many PHP nodes, at least 1.
        profile: `SAFE` has an arbiter, on php1.
        floating_ip: An address of the network, or None for the default one.

    Raises:
        ValueError: the network is too small, or the floating IP is outside of it or is a machine's own.
    """
    net = ipaddress.IPv4Network(network)
    if php_nodes < 1:
        raise ValueError("a cluster needs at least one PHP node")
    if net.num_addresses < required_addresses(php_nodes):
        raise ValueError(f"{network} has too few addresses for {php_nodes} PHP nodes")
    gateway = str(net[1])
    floating = floating_ip or str(net[FLOATING_IP_OFFSET])
    machines = machines_at(
        [str(net[FLOATING_IP_OFFSET + 1 + index]) for index in range(len(BALANCERS))],
        [str(net[FIRST_PHP_OFFSET + number]) for number in range(1, php_nodes + 1)],
        profile,
    )
    address = ipaddress.IPv4Address(floating)
    if address not in net or address in (net.network_address, net.broadcast_address):
        raise ValueError(f"{floating} is not an address for a machine in {network}")
    taken = {gateway: "the gateway", **{machine.address: machine.name for machine in machines}}
    if floating in taken:
        raise ValueError(f"{floating} is the address of {taken[floating]}")
    last = min(FIRST_PHP_OFFSET + MAX_PHP_NODES, net.num_addresses - 2)
    return Topology(net, gateway, floating, machines, php_addresses=(f"{net[FIRST_PHP_OFFSET + 1]}-{net[last]}",))
