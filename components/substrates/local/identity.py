"""What tells the machines of one stack on this box from those of another."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from pathlib import Path

from components.plan.settings import PROJECT_FOLDER

IDENTITY_FILE = PROJECT_FOLDER / ".cluster" / "identity"


def checkout_identity(file: Path = IDENTITY_FILE) -> str:
    """A random name that this checkout keeps, so that a second clone with a stack of the same name is another one."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            with file.open("x") as new:
                new.write(secrets.token_hex(8) + "\n")
        except FileExistsError:
            pass  # another run of this checkout was faster; its name counts
    return file.read_text().strip()


def lab_id(stack: str, identity: str) -> str:
    """Six hexadecimal digits that begin the names of a stack's machines, bridge and tables.

    So few because the kernel's interface names end after 15 characters: `vb-` + six + `-php64`.
    """
    return hashlib.sha256(f"{identity}/{stack}".encode()).hexdigest()[:6]


NETWORKS = "198.18.0.0/15"
"""What RFC 2544 sets aside, and no LAN or VPN uses: stacks have theirs in it, 512 of size 24."""


def default_network(stack: str) -> str:
    """The network of a stack that names none: one of `NETWORKS`."""
    index = int(lab_id(stack, checkout_identity()), 16) % 512
    return f"198.{18 + index // 256}.{index % 256}.0/24"


def default_network6(stack: str) -> ipaddress.IPv6Network:
    """The IPv6 network of a stack: with 40 bits of its own after fd, as RFC 4193 wants it, it is nobody else's."""
    drawn = hashlib.sha256(f"ipv6 {checkout_identity()}/{stack}".encode()).digest()
    return ipaddress.IPv6Network((b"\xfd" + drawn[:5] + bytes(10), 64))
