"""The planner: properties that hold for every cluster, and the article's own case."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.plan import topology
from components.plan.topology import Profile, Role

networks = st.builds(
    lambda base, prefix: str(ipaddress.IPv4Network((base, prefix), strict=False)),
    st.integers(min_value=0x0A000000, max_value=0xDFFFFFFF),
    st.integers(min_value=16, max_value=25),
)
counts = st.integers(min_value=1, max_value=64)
profiles = st.sampled_from(Profile)


@given(networks, counts, profiles)
def test_addresses_are_distinct_and_inside(network: str, count: int, profile: Profile) -> None:
    plan = topology.plan(network, count, profile)
    addresses = [plan.gateway, plan.floating_ip, *(machine.address for machine in plan.machines)]
    assert len(set(addresses)) == len(addresses)
    hosts = ipaddress.IPv4Network(network)
    for address in map(ipaddress.IPv4Address, addresses):
        assert address in hosts and address not in (hosts.network_address, hosts.broadcast_address)


@given(networks, st.integers(min_value=1, max_value=63), profiles)
def test_another_node_moves_nothing(network: str, count: int, profile: Profile) -> None:
    before = topology.plan(network, count, profile)
    after = topology.plan(network, count + 1, profile)
    assert after.machines[: len(before.machines)] == before.machines
    assert (after.balancers, after.host_table) == (before.balancers, before.host_table)


@given(networks, counts, profiles)
def test_names_and_roles(network: str, count: int, profile: Profile) -> None:
    plan = topology.plan(network, count, profile)
    assert [machine.name for machine in plan.balancers] == ["lb1", "lb2"]
    assert [machine.name for machine in plan.php_nodes] == [f"php{number}" for number in range(1, count + 1)]
    assert all(machine.role is Role.LOAD_BALANCER for machine in plan.balancers)


@given(networks, counts)
def test_the_arbiter_follows_the_profile(network: str, count: int) -> None:
    article, safe = (topology.plan(network, count, profile) for profile in (Profile.ARTICLE, Profile.SAFE))
    assert [machine.name for machine in safe.machines if machine.has_brick] == ["lb1", "lb2"]
    assert article.balancers == safe.balancers
    assert article.arbiter is None
    assert safe.arbiter is not None and safe.arbiter.name == "php1"


@given(st.integers(min_value=1, max_value=64), st.integers(min_value=24, max_value=30))
def test_size_rule_is_exact(count: int, prefix: int) -> None:
    network = f"198.18.0.0/{prefix}"
    if 2 ** (32 - prefix) >= topology.required_addresses(count):
        topology.plan(network, count, Profile.SAFE)
    else:
        with pytest.raises(ValueError, match="too few addresses"):
            topology.plan(network, count, Profile.SAFE)


@pytest.mark.parametrize(
    ("floating_ip", "reason"),
    [
        ("198.18.7.1", "the gateway"),
        ("198.18.7.11", "lb1"),
        ("198.18.7.22", "php2"),
        ("198.18.7.255", "not an address"),
        ("198.18.8.9", "not an address"),
    ],
)
def test_floating_ip_must_be_free(floating_ip: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        topology.plan("198.18.7.0/24", 2, Profile.SAFE, floating_ip)


def test_floating_ip_can_be_chosen() -> None:
    assert topology.plan("198.18.7.0/24", 2, Profile.SAFE, "198.18.7.200").floating_ip == "198.18.7.200"


def test_nodes_know_brick_hosts_and_the_arbiter_only() -> None:
    plan = topology.plan("198.18.7.0/24", 3, Profile.SAFE)
    assert plan.host_table == "198.18.7.11 lb1\n198.18.7.12 lb2\n198.18.7.21 php1\n"
