"""Which packets a machine takes from which others."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.balancer.load_balancer import MEMBERS_PORT
from components.plan.topology import INNER_PORT, PlannedMachine, Role, Topology
from components.steps.host import Host
from components.steps.remote import render


def packet_filter(plan: Topology, machine: PlannedMachine) -> str:
    """The text of the machine's nftables rules.

    They name the addresses that PHP nodes may have, where that can be told, not those that there are: the rules of all
    other machines would have to change with each node. Who may mount the volume, Gluster itself knows one by one
    (volume-options.sh).
    """
    balancers = [balancer.address for balancer in plan.balancers]
    return render(
        "base/packet-filter.nft.j2",
        peer_address=next((address for address in balancers if address != machine.address), ""),
        balances=machine.role is Role.LOAD_BALANCER,
        serves_gluster=machine.serves_gluster,
        serves=machine.role is Role.PHP,
        balancers=balancers,
        php_nodes=", ".join(plan.php_addresses),
        inner_port=INNER_PORT,
        members_port=MEMBERS_PORT,
    )


def names_nodes(plan: Topology) -> bool:
    """Whether the rules of brick hosts name each PHP node, so that they change when one comes or leaves."""
    return {node.address for node in plan.php_nodes} == set(plan.php_addresses)


def revoke(host: Host, plan: Topology, *, parent: pulumi.Resource, drained: Sequence[pulumi.Resource]) -> None:
    """Takes Gluster's ports from PHP nodes that leave, after the steps that keep requests away from them."""
    host.step(
        f"{host.name}-packet-filter",
        "base/packet-filter.sh",
        parent=parent,
        variables={"PACKET_FILTER": packet_filter(plan, host.planned)},
        after=[*host.ready, *drained],
    )
