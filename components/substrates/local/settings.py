"""The settings of the substrate `local`: what its machines start from, and the network that this box gives them."""

from __future__ import annotations

import enum
import ipaddress

from components.plan import topology
from components.plan.config_values import Reader
from components.plan.settings import AUTO, Settings


class Image(enum.Enum):
    """What a local machine starts from: a tree with the packages in it, or a bare Debian that installs its own."""

    PREBUILT = "prebuilt"
    STOCK = "stock"


def read_image(reader: Reader) -> Image:
    """Checks the key `image`; what is wrong is noted."""
    return reader.read(
        "image", Image, f"one of {', '.join(image.value for image in Image)}", "image prebuilt", Image.PREBUILT
    )


def check_network(reader: Reader, settings: Settings) -> None:
    """Rules about several keys at once: the planner's own, asked before it plans."""
    if settings.floating_ip6 not in (None, AUTO):
        reader.refuse("floatingIp6", f"{AUTO} on `local`: the stack has a network of its own", f"floatingIp6 {AUTO}")
    if settings.network is None:
        if settings.floating_ip is not None:
            reader.refuse("floatingIp", "set together with network, which it lies in", "network 198.18.5.0/24")
        return
    needed = topology.required_addresses(settings.php_nodes)
    network = ipaddress.IPv4Network(settings.network)
    if network.num_addresses < needed:
        prefix = 32 - (needed - 1).bit_length()
        reader.refuse(
            "network",
            f"large enough for {settings.php_nodes} PHP nodes, at least {needed} addresses (a /{prefix})",
            f"network {ipaddress.IPv4Network((int(network.network_address), 24), strict=False)}",
        )
        return
    try:
        topology.plan(settings.network, settings.php_nodes, settings.profile, settings.floating_ip)
    except ValueError as problem:
        reader.refuse(
            "floatingIp",
            f"a free address in {settings.network}, but {problem}",
            f"floatingIp {network[topology.FLOATING_IP_OFFSET]}",
        )
