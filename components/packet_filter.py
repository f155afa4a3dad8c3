"""Which packets a machine takes from which others."""

from __future__ import annotations

from components.remote import render
from components.topology import PlannedMachine, Role, Topology


def packet_filter(plan: Topology, machine: PlannedMachine) -> str:
    """The text of the machine's nftables rules.

    They name the addresses that PHP nodes may have, where that can be told, not those that there are: the rules of all
    other machines would have to change with each node. Who may mount the volume, Gluster itself knows one by one
    (volume-access.sh).
    """
    balancers = [balancer.address for balancer in plan.balancers]
    return render(
        "packet-filter.nft.j2",
        peer_address=next((address for address in balancers if address != machine.address), ""),
        balances=machine.role is Role.LOAD_BALANCER,
        has_brick=machine.has_brick,
        serves=machine.role is Role.PHP,
        balancers=balancers,
        php_nodes=", ".join(plan.php_addresses),
    )
