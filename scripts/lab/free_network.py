"""Whether a network is free on this box: `free_network.py 198.18.5.0/24` ends with 0, or says what it overlaps with.

Compares with every route and address of the box, other stacks' bridges included, and names a value that works.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys


def networks_in_use() -> dict[ipaddress.IPv4Network, str]:
    """Every IPv4 network that the box has a route to, with the interface; the default route is none."""
    listing = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
    ).stdout
    used = {}
    for route in json.loads(listing or "[]"):
        destination = route.get("dst", "default")
        if destination == "default" or route.get("type") in ("broadcast", "multicast"):
            continue
        network = ipaddress.IPv4Network(destination, strict=False)
        if not network.is_loopback:
            used[network] = route.get("dev", "a route")
    return used


def main() -> int:
    """Compares the network in the first argument; the exit status."""
    wanted = ipaddress.IPv4Network(sys.argv[1])
    used = networks_in_use()
    for network, interface in used.items():
        if network.overlaps(wanted):
            free = next(
                candidate
                for candidate in ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=24)
                if not any(candidate.overlaps(other) for other in used)
            )
            print(
                f"php-cluster:network {wanted} is in use on this box: {network} belongs to {interface}.\n"
                f"Choose a free one: pulumi config set network {free}",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
