"""One table says who talks to whom. Whatever filters, opens, checks or lists connections is held against it here."""

from __future__ import annotations

import ipaddress
import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.balancer.load_balancer import haproxy_configuration
from components.base.packet_filter import packet_filter
from components.php.node import SETTINGS_SERVERS, SITE_SERVERS, WebRules, nginx_site
from components.plan import topology
from components.plan.topology import PlannedMachine, Profile, Topology
from components.plan.traffic import (
    ARBITER_PORT,
    BRICK_PORTS,
    CERTIFICATE,
    FLOWS,
    GLUSTERD_PORT,
    HTTP3,
    HTTPS,
    METRICS_PORT,
    SESSIONS,
    SSH_PORT,
    TCP,
    TRIAL_PORTS,
    VRRP,
    Flow,
    Party,
    ports_between,
    ports_listened,
)
from components.substrates.aws.security import conversations
from components.substrates.aws.settings import AwsSettings, Egress
from tests.commands import PROJECT

PLAN = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
LB1, LB2, PHP1, PHP2 = PLAN.machines
STRANGER = "198.18.7.200"
PORTS = [flow.ports for flow in FLOWS if flow.ports]
EDGES = sorted({port + step for first_and_last in PORTS for port in first_and_last for step in (-1, 0, 1)})
"""Every port that the table names, and its neighbours."""


def test_the_rows_are_one_each() -> None:
    assert len({(flow.source, flow.target, flow.ports, flow.protocol) for flow in FLOWS}) == len(FLOWS)
    assert all((flow.ports is None) is (flow.protocol == VRRP) for flow in FLOWS)
    # keep-mounted finds the arbiter's connection among those to bricks.
    assert BRICK_PORTS[0] <= ARBITER_PORT <= BRICK_PORTS[1]


def within(number: int, spelled: str) -> bool:
    """Whether a port or an address is one of those that nftables' rule spells."""

    def value(word: str) -> int:
        return int(ipaddress.IPv4Address(word)) if "." in word else int(word)

    words = re.findall(r"[0-9./-]+", spelled)
    if any(ipaddress.IPv4Address(number) in ipaddress.IPv4Network(word) for word in words if "/" in word):
        return True
    ranges = [word.split("-") for word in words if "/" not in word]
    return any(value(each[0]) <= number <= value(each[-1]) for each in ranges)


def lets_in(rules: str, address: str, port: int) -> bool:
    """Whether a machine's rules let a TCP connection in."""
    if nodes := re.search(r"^define php_nodes = (.*)$", rules, re.MULTILINE):
        rules = rules.replace("$php_nodes", nodes[1])
    for ports, chain in re.findall(r"^ +tcp dport (.+) tcp flags .* == syn jump (\w+)$", rules, re.MULTILINE):
        if within(port, ports):
            block = re.search(rf"^    chain {chain} {{\n(.*?)        drop\n    }}$", rules, re.MULTILINE | re.DOTALL)
            assert block
            sources = re.findall(r"^ +ip saddr (.+) accept$", block[1], re.MULTILINE)
            return any(within(int(ipaddress.IPv4Address(address)), source) for source in sources)
    return True


def takes(machine: PlannedMachine, port: int) -> list[Flow]:
    """The flows to a TCP port of a machine."""
    return [
        flow
        for flow in FLOWS
        if flow.target.includes(machine)
        and flow.ports
        and flow.protocol == TCP
        and flow.ports[0] <= port <= flow.ports[1]
    ]


COLLECTOR = "203.0.113.7"


@given(
    st.builds(topology.plan, st.just("198.18.7.0/24"), st.integers(1, 4), st.sampled_from(Profile)),
    st.sampled_from([(), ("203.0.113.0/28", "192.0.2.9/32")]),
)
def test_a_packet_filter_lets_in_what_the_table_names(plan: Topology, metrics_from: tuple[str, ...]) -> None:
    for machine in plan.machines:
        rules = packet_filter(plan, machine, metrics_from)
        assert (f"ip daddr != {machine.address} drop" in rules) is bool(metrics_from)
        for port in EDGES:
            named = takes(machine, port)
            measured = any(flow.source is Party.MONITORING for flow in named)
            # What outsiders may ask for, or what is not the cluster's, is open to whoever asks.
            is_open = not named or any(flow.source.is_outside for flow in named)
            is_open = is_open and not (measured and metrics_from)
            assert lets_in(rules, STRANGER, port) is is_open, (machine.name, port)
            assert lets_in(rules, COLLECTOR, port) is (is_open or measured), (machine.name, port)
            for other in plan.machines:
                if other != machine:
                    is_named = any(flow.is_between(other, machine) for flow in named)
                    assert lets_in(rules, other.address, port) is (is_open or is_named), (other, machine, port)


def test_a_packet_filter_takes_vrrp_from_the_other_balancer_alone() -> None:
    for machine, peer in ((LB1, LB2), (LB2, LB1)):
        rules = packet_filter(PLAN, machine)
        assert f"ip protocol {VRRP} ip saddr != {peer.address} drop\n" in rules
        assert f"meta nfproto ipv6 meta l4proto {VRRP} drop\n" in rules
    assert VRRP not in packet_filter(PLAN, PHP1)


@pytest.mark.parametrize("egress", Egress)
@pytest.mark.parametrize(
    ("tls", "http3", "acme"), [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
)
@pytest.mark.parametrize(("arbiter", "log"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("metrics_from", [(), ("10.1.0.0/16", "10.2.0.0/16")])
def test_security_groups_open_what_the_table_names(
    *, egress: Egress, tls: bool, http3: bool, acme: bool, arbiter: bool, log: bool, metrics_from: tuple[str, ...]
) -> None:
    web, ssh = ("198.51.100.0/24", "192.0.2.0/24"), ("203.0.113.0/28",)
    settings = AwsSettings(None, (), None, "", "", web, ssh, egress, termination_protection=False)
    expected = set()
    for flow in FLOWS:
        if (flow is HTTPS and not tls) or (flow is CERTIFICATE and not acme) or (flow is SESSIONS and not log):
            continue
        if (flow is HTTP3 and not http3) or (flow.target is Party.ARBITER and not arbiter):
            continue
        sources: tuple[str, ...] = (flow.source.value,)
        targets = ["nodes" if flow is SESSIONS else flow.target.value]
        if flow.source is Party.VISITORS:
            sources = web
        if flow.source is Party.MONITORING:
            sources = metrics_from
        if flow.source is Party.OPERATORS:
            # By way of the balancers, and by SSH alone.
            is_ssh = flow.ports == (SSH_PORT, SSH_PORT)
            sources = () if not is_ssh else ssh if flow.target is Party.BALANCERS else ("balancers",)
        if flow.target is Party.INTERNET:
            targets = ["0.0.0.0/0"]
            if flow.source is Party.NODES and egress is Egress.BALANCERS:
                targets.append("balancers")
        expected |= {(source, target, flow.protocol, flow.ports) for source in sources for target in targets}
    found = conversations(
        settings, tls=tls, http3=http3, acme=acme, arbiter=arbiter, log=log, metrics_from=metrics_from
    )
    assert {(said.source, said.target, said.protocol, said.ports) for said in found} == expected
    assert len({said.name for said in found}) == len(found) == len(expected)


def test_machines_that_exist_are_asked_for_what_the_table_names() -> None:
    assert ports_listened(LB1, metrics=False) == ports_listened(LB2, metrics=False) == (80, 443, 8404, 8405, 24007)
    assert ports_listened(PHP1, metrics=False) == (80, 8406, 49200, 8081, 8082)
    assert ports_listened(PHP2, metrics=False) == (80, 8406, 8081, 8082)
    # An exporter that is there already is welcome.
    for machine in PLAN.machines:
        assert {*ports_listened(machine, metrics=True)} == {*ports_listened(machine, metrics=False), METRICS_PORT}
    assert ports_between(LB1, LB2) == (8404, 24007, 49152)
    assert ports_between(LB1, LB2, acme=True) == (8404, 443, 24007, 49152)
    assert ports_between(LB1, PHP1) == (80, 8406, 49200)
    assert ports_between(PHP2, LB1) == (8405, 24007, 49152)
    assert ports_between(PHP2, PHP1) == (49200,)
    assert ports_between(PHP2, PHP1, log=True) == (49200, 8408) and ports_between(PHP1, PHP2, log=True) == (8408,)
    assert 8408 in ports_listened(PHP2, metrics=False, log=True)
    assert ports_between(PHP1, PHP2) == ports_between(PHP1, PHP1) == ()
    without = topology.plan("198.18.7.0/24", 2, Profile.ARTICLE).machines[2]
    assert ARBITER_PORT not in (*ports_listened(without, metrics=False), *ports_between(LB1, without))
    for source, target in permutations(PLAN.machines, 2):
        between = {flow.ports[0] for flow in FLOWS if flow.ports and flow.is_between(source, target)}
        assert set(ports_between(source, target, acme=True, log=True)) == between


@pytest.mark.parametrize("metrics", [False, True])
def test_daemons_listen_where_the_table_says(*, metrics: bool) -> None:
    haproxy = haproxy_configuration(PLAN, 0, "hidden", tls=True, request_seconds=60, metrics=metrics)
    binds = [int(port) for port in re.findall(r"^ +bind \*:([0-9]+)", haproxy, re.MULTILINE)]
    assert {*binds, GLUSTERD_PORT} == set(ports_listened(LB1, metrics=metrics))
    asked = {int(port) for port in re.findall(r"(?:server \S+ (?!127\.)\S+:|check port )([0-9]+)", haproxy)}
    assert asked == {port for target in (LB2, PHP2) for port in ports_between(LB1, target) if port < GLUSTERD_PORT}
    nginx = "".join(
        nginx_site(PLAN, {}, 60, WebRules(metrics=metrics), servers) for servers in (SITE_SERVERS, SETTINGS_SERVERS)
    )
    assert {int(port) for port in re.findall(r"listen (?:\S+:)?([0-9]+)", nginx)} == set(
        ports_listened(PHP2, metrics=metrics)
    )


def test_scripts_and_docs_name_the_ports_of_the_table() -> None:
    known = {str(port) for ports in PORTS for port in ports} | {str(port) for port in TRIAL_PORTS}
    folders = [PROJECT / "scripts" / "hosts", PROJECT / "app"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files += [PROJECT / "docs" / f"{page}.md" for page in ("aws", "existing", "requests")]
    for path in files:
        named = re.findall(r"(?<![\w.,-])(?:8[04]\d\d|240\d\d|49[12]\d\d|60999)(?![\w.,]*\d)", path.read_text())
        assert set(named) <= known, path


WORDS = {
    Party.VISITORS: "visitors",
    Party.OPERATORS: "where you run Pulumi",
    Party.BALANCERS: "lb1, lb2",
    Party.NODES: "PHP nodes",
    Party.ARBITER: "php1",
    Party.WRITERS: "php1, php2, php3",
    Party.INTERNET: "package mirrors",
    Party.MONITORING: "`metrics.allowFrom`",
}


def test_docs_list_the_table() -> None:
    """What opens the same to several is one row."""
    sources: dict[tuple[str, str, str], list[str]] = {}
    for flow in FLOWS:
        ports = " to ".join(map(str, dict.fromkeys(flow.ports or ())))
        opened = f"{flow.protocol.upper()} {ports}" if ports else f"IP protocol {flow.protocol}"
        sources.setdefault((WORDS[flow.target], opened, flow.why), []).append(WORDS[flow.source])
    rows = [f"   | {', '.join(those)} | {' | '.join(row)} |\n" for row, those in sources.items()]
    table = "   | from | to | ports | for |\n   | --- | --- | --- | --- |\n" + "".join(rows)
    assert table in (PROJECT / "docs" / "existing.md").read_text(), f"docs/existing.md must have\n{table}"
