"""Which packets a machine takes from which others."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.plan.topology import PlannedMachine, Role, Topology
from components.plan.traffic import (
    BRICK_PORTS,
    FLOWS,
    GLUSTERD_PORT,
    METADATA,
    VRRP,
    Party,
    guarded_ports,
    metrics_ports,
)
from components.steps.host import Host
from components.steps.remote import render


def packet_filter(plan: Topology, machine: PlannedMachine, metrics_from: Sequence[str] = ()) -> str:
    """The text of the machine's nftables rules.

    They name all addresses that a PHP node may get, where these are known, rather than those in use: otherwise each new
    node would change the rules of all other machines. Gluster itself has a list of the nodes that may mount the volume
    (volume-options.sh). `metrics_from` has the networks of those who collect metrics; without any, the rules leave the
    ports of metrics alone. On a PHP node they also keep from the site's code what only the machine itself is to reach.
    """
    guarded = guarded_ports(machine)
    peers = [
        other.address
        for other in plan.machines
        if any(flow.protocol == VRRP and flow.is_between(other, machine) for flow in FLOWS)
    ]
    return render(
        "base/packet-filter.nft.j2",
        vrrp=VRRP,
        vrrp_peer=next(iter(peers), ""),
        for_nodes=_port_set(guarded.get(frozenset({Party.NODES}), ())),
        for_members=_port_set(guarded.get(frozenset({Party.BALANCERS, Party.NODES}), ())),
        for_balancers=_port_set(guarded.get(frozenset({Party.BALANCERS}), ())),
        for_metrics=_port_set(metrics_ports(machine)) if metrics_from else "",
        metrics_from=metrics_from,
        address=machine.address,
        balancers=[balancer.address for balancer in plan.balancers],
        php_nodes=", ".join(plan.php_addresses),
        kept_from_the_site=[each.address for each in plan.machines if each.serves_gluster]
        if machine.role is Role.PHP
        else [],
        gluster_ports=_port_set([(GLUSTERD_PORT, GLUSTERD_PORT), BRICK_PORTS]),
        metadata=METADATA,
    )


def _port_set(ranges: Sequence[tuple[int, int]]) -> str:
    """How nftables spells these ports; empty if there are none."""
    spelled = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return f"{{ {', '.join(spelled)} }}" if len(spelled) > 1 else "".join(spelled)


def names_nodes(plan: Topology) -> bool:
    """Whether the rules of brick hosts name each PHP node, so that they change when one comes or leaves."""
    return {node.address for node in plan.php_nodes} == set(plan.php_addresses)


def revoke(
    host: Host,
    plan: Topology,
    metrics_from: Sequence[str],
    *,
    parent: pulumi.Resource,
    drained: Sequence[pulumi.Resource],
) -> None:
    """Takes Gluster's ports from PHP nodes that leave, after the steps that keep requests away from them."""
    host.step(
        f"{host.name}-packet-filter",
        "base/packet-filter.sh",
        parent=parent,
        variables={"PACKET_FILTER": packet_filter(plan, host.planned, metrics_from)},
        after=[*host.ready, *drained],
    )
