"""The settings of the substrate `existing`: what may stand below the config key `existing`. No look at the machines."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from components.plan.config_values import (
    NAMESPACE,
    Reader,
    address,
    matching,
    optional,
    switch,
    text,
    text_as_is,
)
from components.plan.settings import AUTO, Settings, refuse_upgrading
from components.plan.topology import BALANCERS, MAX_PHP_NODES

KEY = "existing"

DEFAULTS: Mapping[str, Any] = {
    "balancers": [],
    "nodes": [],
    "user": "root",
    "privateKey": "",
    "privateKeyFile": "",
    "bastion": {},
    "brick": "",
    "deleteSessionsOnDestroy": False,
}

_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# What goes into /etc/fstab, unquoted.
_PATH = re.compile(r"(/[A-Za-z0-9._:@+-]+)+")
_KEY_TYPE = "ssh-ed25519"

_MACHINE_RULE = (
    "{count}, each with `address` (IPv4, the machine's own) and `hostKey` (one line, ssh-ed25519: what "
    "`ssh-keyscan -t ed25519 ADDRESS` says after the address, or the machine's /etc/ssh/ssh_host_ed25519_key.pub)"
)


@dataclass(frozen=True)
class ExistingMachine:
    """A machine that the user has.

    Attributes:
        address: Its own IPv4 address, by which the other machines reach it, and this program, if need be by a bastion.
        host_key: Its public SSH host key, type and key.
    """

    address: str
    host_key: str


@dataclass(frozen=True)
class Bastion:
    """A machine through which the others are reached; it takes the same login key.

    Attributes:
        host: Its name or address.
        user: Who logs in there.
        host_key: Its public SSH host key.
    """

    host: str
    user: str
    host_key: str


@dataclass(frozen=True)
class ExistingSettings:
    """Checked settings of the substrate `existing`; docs/existing.md describes each."""

    balancers: tuple[ExistingMachine, ...]
    nodes: tuple[ExistingMachine, ...]
    user: str
    private_key: str
    private_key_file: str
    bastion: Bastion | None
    brick: str
    delete_sessions: bool

    @property
    def by_name(self) -> Mapping[str, ExistingMachine]:
        """The machines by the names that the plan gives them."""
        nodes = {f"php{number}": node for number, node in enumerate(self.nodes, start=1)}
        return {**dict(zip(BALANCERS, self.balancers, strict=False)), **nodes}

    def key_of(self, name: str) -> str:
        """The config key under which a machine stands."""
        if name in BALANCERS:
            return f"{NAMESPACE}:{KEY}.balancers[{BALANCERS.index(name)}]"
        return f"{NAMESPACE}:{KEY}.nodes[{int(name.removeprefix('php')) - 1}]"


def host_key(value: Any) -> str:
    """A public key as known_hosts and authorized_keys spell it; a comment, or the address before it, is left out."""
    words = text(value).split()
    if words and words[0] != _KEY_TYPE:
        words = words[1:]
    if len(words) < 2 or words[0] != _KEY_TYPE:
        raise ValueError
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ValueError from None
    # Length and name of the type, length of the key, the key (RFC 8709).
    if len(blob) != 51 or not blob.startswith(b"\0\0\0\x0b" + _KEY_TYPE.encode() + b"\0\0\0\x20"):
        raise ValueError
    return f"{_KEY_TYPE} {words[1]}"


def _machines(low: int, high: int) -> Callable[[Any], tuple[ExistingMachine, ...]]:
    def parse(value: Any) -> tuple[ExistingMachine, ...]:
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise ValueError
        if any(not isinstance(one, dict) or set(one) != {"address", "hostKey"} for one in value):
            raise ValueError
        return tuple(ExistingMachine(address(one["address"]), host_key(one["hostKey"])) for one in value)

    return parse


def _bastion(value: Any) -> Bastion | None:
    if not isinstance(value, dict) or set(value) - {"host", "user", "hostKey"}:
        raise ValueError
    if not value:
        return None
    return Bastion(
        matching(_HOST)(value["host"]), matching(_USER)(value.get("user", "root")), host_key(value["hostKey"])
    )


def read_existing(top: Reader, *, chosen: bool) -> ExistingSettings:
    """Checks what is set below `existing`; what is absent takes its default, and what is wrong is noted.

    Args:
        top: Reads the keys at the top.
        chosen: Whether the substrate is this one, so that machines must be there, and as many nodes as are listed.
    """
    reader = top.below(KEY, DEFAULTS, example="user admin", secret_keys={"privateKey"})
    if chosen:
        listed = reader.values["nodes"]
        top.default_to("phpNodes", len(listed) if isinstance(listed, list) and listed else 1)
    least = 1 if chosen else 0
    two = len(BALANCERS)
    return ExistingSettings(
        balancers=reader.read(
            "balancers",
            _machines(two * least, two),
            _MACHINE_RULE.format(count="a list of exactly two machines"),
            "balancers[0].address 192.0.2.11",
            (),
        ),
        nodes=reader.read(
            "nodes",
            _machines(least, MAX_PHP_NODES),
            _MACHINE_RULE.format(count=f"a list of 1 to {MAX_PHP_NODES} machines"),
            "nodes[0].address 192.0.2.21",
            (),
        ),
        user=reader.read(
            "user", matching(_USER), "a user who may log in, root or one with sudo and no password", "user root", ""
        ),
        private_key=reader.read(
            "privateKey", text_as_is, "an SSH private key", 'privateKey -- "$(cat ~/.ssh/id_ed25519)"', ""
        ),
        private_key_file=reader.read(
            "privateKeyFile",
            text,
            "the path of an SSH private key, absolute, below ~ or relative to the project",
            "privateKeyFile '~/.ssh/id_ed25519'",
            "",
        ),
        bastion=reader.read(
            "bastion",
            _bastion,
            "a map with `host` (name or address), `hostKey` (ssh-ed25519) and, if it is not root, `user`",
            "bastion.host bastion.example.org",
            None,
        ),
        brick=reader.read(
            "brick",
            optional(matching(_PATH)),
            "an absolute path: an empty disk, or a folder on a file system of its own",
            "brick /dev/sdb",
            None,
        )
        or "",
        delete_sessions=reader.read(
            "deleteSessionsOnDestroy", switch, "true or false", "deleteSessionsOnDestroy true", False
        ),
    )


def check_existing(
    reader: Reader, existing: ExistingSettings, settings: Settings, secret_keys: Collection[str]
) -> None:
    """Rules that hold when the substrate is `existing`, and about several keys at once."""
    _check_login(reader, existing, key_is_secret=KEY in secret_keys)
    if not existing.brick:
        _lacks(
            reader,
            f"{KEY}.brick",
            "It must name what holds the sessions on each machine with a brick: an empty disk, or a folder on a file "
            "system of its own.",
            f"--path {KEY}.brick /dev/sdb",
        )
    if existing.nodes and settings.php_nodes != len(existing.nodes):
        reader.problems.append(
            f"{NAMESPACE}:phpNodes is {settings.php_nodes}\n    {KEY}.nodes lists {len(existing.nodes)}, and that list "
            "counts.\n    Remove it: pulumi config rm phpNodes"
        )
    owners: dict[str, str] = {}
    for name, machine in existing.by_name.items():
        if machine.address in owners:
            reader.problems.append(
                f"{existing.key_of(name)}.address is {machine.address}\n    It must be another machine than "
                f"{existing.key_of(owners[machine.address])}: each does one job."
            )
        owners.setdefault(machine.address, name)
    _check_network(reader, existing, settings, owners)
    _check_ipv6(reader, settings)
    refuse_upgrading(reader, settings)


def _lacks(reader: Reader, key: str, why: str, example: str) -> None:
    if not any(f"{NAMESPACE}:{key} " in problem for problem in reader.problems):
        reader.problems.append(f"{NAMESPACE}:{key} is not set\n    {why}\n    Example: pulumi config set {example}")


def _check_login(reader: Reader, existing: ExistingSettings, *, key_is_secret: bool) -> None:
    if bool(existing.private_key) == bool(existing.private_key_file):
        reader.problems.append(
            f"{NAMESPACE}:{KEY}.privateKey and {KEY}.privateKeyFile: exactly one must be set\n"
            f"    It logs in to every machine.\n"
            f"    Example: pulumi config set --path {KEY}.privateKeyFile '~/.ssh/id_ed25519'"
        )
    elif existing.private_key and not key_is_secret:
        reader.problems.append(
            f"{NAMESPACE}:{KEY}.privateKey is [secret]\n    It must be stored as a secret.\n"
            f'    Example: pulumi config set --secret --path {KEY}.privateKey -- "$(cat ~/.ssh/id_ed25519)"'
        )


def _check_network(reader: Reader, existing: ExistingSettings, settings: Settings, owners: Mapping[str, str]) -> None:
    network, floating_ip = settings.network, settings.floating_ip
    if floating_ip is None:
        _lacks(reader, "floatingIp", "It must be a free address of the balancers' network.", "floatingIp 192.0.2.10")
    if network is None:
        _lacks(
            reader,
            "network",
            "It must be the network that the balancers and floatingIp lie in.",
            "network 192.0.2.0/24",
        )
        return
    net = ipaddress.IPv4Network(network)
    for name in BALANCERS[: len(existing.balancers)]:
        address = existing.by_name[name].address
        if ipaddress.IPv4Address(address) not in net:
            reader.problems.append(
                f"{existing.key_of(name)}.address is {address}\n    It must lie in network, {network}, as the floating "
                f"IP does: either balancer has to be able to take that."
            )
    example = f"floatingIp {net[10 % net.num_addresses]}"
    if floating_ip is not None and floating_ip in owners:
        reader.refuse("floatingIp", f"free, but it is {existing.key_of(owners[floating_ip])}", example)
    elif floating_ip is not None and not net[0] < ipaddress.IPv4Address(floating_ip) < net[-1]:
        reader.refuse("floatingIp", f"a free address in {network}", example)


def _check_ipv6(reader: Reader, settings: Settings) -> None:
    if settings.floating_ip6 == AUTO:
        reader.refuse(
            "floatingIp6",
            "a free IPv6 address of a network that both balancers are in: which one that is, only you know",
            "floatingIp6 2001:db8::10",
        )
