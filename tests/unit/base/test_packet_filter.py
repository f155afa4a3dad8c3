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


def test_a_site_s_code_reaches_neither_gluster_nor_metadata() -> None:
    for node in PLAN.php_nodes:
        rules = packet_filter(PLAN, node)
        [gluster] = [line for line in rules.splitlines() if "meta skuid != 0" in line and "24007" in line]
        # Both bricks' hosts, and the arbiter, which is this very machine where it is php1.
        assert all(address in gluster for address in ("198.18.7.11", "198.18.7.12", "198.18.7.21")), gluster
        # Answers to a balancer may go to any of its ports.
        assert "tcp dport { 24007, 49152-60999 } reject" in gluster
        assert rules.index("tcp flags & (syn | ack) != syn accept") < rules.index(gluster)
        # Name service may be at the same address.
        assert "meta skuid != 0 ip daddr 169.254.169.254 tcp dport 80 reject" in rules
    assert "skuid" not in packet_filter(PLAN, PLAN.balancers[0])
