"""Who gets to which port, as the packet filter says it."""

from components.base.packet_filter import packet_filter
from components.plan import topology
from components.plan.topology import Profile

PLAN = topology.plan("198.18.7.0/24", 3, Profile.SAFE)


def test_nobody_but_balancers_gets_to_the_inner_ports() -> None:
    assert "tcp dport { 80, 8406 } tcp flags & (syn | ack) == syn jump balancers_only" in packet_filter(
        PLAN, PLAN.php_nodes[0]
    )
    assert "tcp dport 8405 tcp flags & (syn | ack) == syn jump nodes_only" in packet_filter(PLAN, PLAN.balancers[0])


def test_only_the_peers_packets_are_admitted() -> None:
    assert "ip protocol 112 ip saddr != 198.18.7.12 drop" in packet_filter(PLAN, PLAN.balancers[0])
    assert "ip protocol 112 ip saddr != 198.18.7.11 drop" in packet_filter(PLAN, PLAN.balancers[1])
