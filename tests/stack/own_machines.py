"""Machines as a user has them: made by the lab, but no stack knows of them before its config names them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.plan.debian import Release
from components.substrates.local.identity import checkout_identity, default_network, default_network6, lab_id
from components.substrates.local.machines import image_inputs
from components.substrates.local.settings import Image
from components.substrates.ssh_keys import SEED_BYTES, private_key, public_key
from tests.commands import said
from tests.release import RELEASE
from tests.stack.cluster import nothing_is_left
from tests.unit.graph import planned

USER = "ops"
LOGIN_SEED = b"l" * SEED_BYTES

# A user who may use sudo, and root who may not log in; host keys of all kinds, as Debian makes them; a firewall.
PREPARE = f"""
set -e
useradd --create-home --shell /bin/bash {USER}
install --directory --mode=700 --owner={USER} /home/{USER}/.ssh
install --mode=600 --owner={USER} /root/.ssh/authorized_keys /home/{USER}/.ssh/authorized_keys
echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
rm /etc/ssh/sshd_config.d/host-key.conf
ssh-keygen -A >/dev/null
echo 'PermitRootLogin no' >/etc/ssh/sshd_config.d/00-root.conf
systemctl restart ssh
nft add table inet mine
nft add chain inet mine input '{{ type filter hook input priority 0; policy accept; }}'
nft add rule inet mine input tcp dport 9999 drop
"""


@dataclass(frozen=True)
class OwnMachines:
    """Machines named `m1` … on a network of their own, unless other names are given.

    Attributes:
        stack: The name under which the lab knows them.
        base: Their network's address without its last number.
        environment: For the lab's scripts.
        images: What those are made of that run another release of Debian than the others.
        names: Number to name.
    """

    stack: str
    base: str
    environment: Mapping[str, str]
    images: Mapping[int, str]
    names: Mapping[int, str]

    @property
    def floating_ip6(self) -> str:
        return str(default_network6(self.stack)[0x10])

    def name(self, number: int) -> str:
        return self.names.get(number, f"m{number}")

    def address(self, number: int) -> str:
        return f"{self.base}{30 + number}"

    def host_key(self, number: int) -> str:
        return public_key(bytes([number]) * SEED_BYTES)

    def enter(self, number: int, command: str, stdin: str = "") -> str:
        """Runs a command as root without SSH."""
        words = ("scripts/lab/enter", "--stack", self.stack, self.name(number), "bash", "-c", command)
        return said(*words, stdin=stdin).strip()

    def make(self, number: int) -> None:
        seed = private_key(bytes([number]) * SEED_BYTES)
        mine = {**self.environment, "NAME": self.name(number), "ADDRESS": self.address(number)}
        mine["IMAGE"] = self.images.get(number, mine["IMAGE"])
        mine["ADDRESS6"] = str(default_network6(self.stack)[0x30 + number])
        said("scripts/lab/machine", "up", environment=mine, stdin=seed)
        self.enter(number, PREPARE)

    def config(self, balancers: tuple[int, int], nodes: tuple[int, ...], folder: Path) -> dict[str, str]:
        """Settings of a stack on these machines; the login key is a file there."""
        key = folder / "login-key"
        key.write_text(private_key(LOGIN_SEED))
        lists = {"balancers": balancers, "nodes": nodes}
        each = {
            f"existing.{name}[{index}].{part}": value
            for name, numbers in lists.items()
            for index, number in enumerate(numbers)
            for part, value in {"address": self.address(number), "hostKey": self.host_key(number)}.items()
        }
        return {
            "substrate": "existing",
            "protect": "false",
            "network": f"{self.base}0/24",
            "floatingIp": f"{self.base}10",
            "floatingIp6": self.floating_ip6,
            "brickGiB": "1",
            "existing.brick": "/data",
            "existing.user": USER,
            "existing.privateKeyFile": str(key),
            **each,
        }


def _image(release: Release) -> str:
    inputs = image_inputs(*planned(), Image.PREBUILT, release)
    return said("scripts/lab/image", "up", environment={**os.environ, **inputs}).splitlines()[-1]


@contextmanager
def own_machines(
    stack: str, count: int, releases: Mapping[int, Release] | None = None, names: Mapping[int, str] | None = None
) -> Iterator[OwnMachines]:
    """Makes machines, and takes them away; `releases` are those of machines that run another one than the others."""
    lab, base = lab_id(stack, checkout_identity()), default_network(stack).removesuffix("0/24")
    images = {release: _image(release) for release in {RELEASE, *(releases or {}).values()}}
    environment = {
        **os.environ,
        "LAB": lab,
        "STACK": stack,
        "CHECKOUT": checkout_identity(),
        "NETWORK": f"{base}0/24",
        "GATEWAY": f"{base}1",
        "GATEWAY6": str(default_network6(stack)[1]),
        "PREFIX": "24",
        "IMAGE": images[RELEASE],
        "BRICK_GIB": "2",
        "AUTHORIZED_KEY": public_key(LOGIN_SEED),
    }
    others = {number: images[release] for number, release in (releases or {}).items()}
    machines = OwnMachines(stack, base, environment, others, names or {})
    try:
        said("scripts/lab/network", "up", environment=environment)
        with ThreadPoolExecutor() as pool:
            list(pool.map(machines.make, range(1, count + 1)))
        yield machines
    finally:
        said("scripts/lab/sweep", "--stack", stack)
    nothing_is_left(lab)
