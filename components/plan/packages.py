"""Which Debian packages each role needs. Pure data: an image is made of them, a bare machine gets them installed."""

from __future__ import annotations

from collections.abc import Sequence

from components.plan.topology import PlannedMachine, Role

_BRICK_HOST = ("glusterfs-server", "xfsprogs")
_BY_ROLE = {
    Role.LOAD_BALANCER: ("curl", "haproxy", "keepalived", "nftables", "socat"),
    Role.PHP: ("curl", "glusterfs-client", "nftables", "nginx-light", "php-cli", "php-fpm"),
}

ACME_CLIENT = "lego"
"""Asks a CA for certificates. No image has it: few stacks on machines that are made of one do."""

EXPORTER = "prometheus-node-exporter"
"""Metrics of a machine. The step of the metrics installs it, who must know whether it was there before."""


def packages_of(
    machine: PlannedMachine, extra_packages: Sequence[str], *, metrics: bool = False, acme: bool = False
) -> tuple[str, ...]:
    """The packages of one machine, sorted; `extra_packages` are the user's own for PHP nodes."""
    packages = set(_BY_ROLE[machine.role])
    if machine.has_brick:
        packages.update(_BRICK_HOST)
    if machine.role is Role.PHP:
        packages.update(extra_packages)
    if acme and machine.role is Role.LOAD_BALANCER:
        packages.add(ACME_CLIENT)
    if metrics:
        packages.add(EXPORTER)
    return tuple(sorted(packages))
