"""Machines that the user has: what their config must be, what is judged of them, and what a stack makes of them."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest

from components.base.packet_filter import names_nodes, packet_filter
from components.plan.config_values import ConfigError
from components.plan.settings import Settings
from components.plan.topology import Topology
from components.plan.traffic import ports_between, ports_listened
from components.steps.drift import Drift
from components.steps.host_scripts import HOST_SCRIPTS
from components.steps.last_update import LastUpdate
from components.substrates.existing import Existing
from components.substrates.existing.facts import Facts, failure_of, parse, questions
from components.substrates.existing.judgement import Judge
from components.substrates.existing.machines import ExistingSubstrate
from components.substrates.existing.settings import ExistingSettings, host_key
from components.substrates.ssh_keys import SEED_BYTES, private_key, public_key
from tests.commands import PROJECT
from tests.unit.graph import Graph, everything_before, graph_of
from tests.unit.settings import read_settings, read_with_substrate

OWNER = "0123456789abcdef"
TOP = (
    "acme",
    "siteName",
    "http3",
    "network",
    "floatingIp",
    "floatingIp6",
    "phpNodes",
    "profile",
    "upgrading",
    "debian",
)


def key(number: int) -> str:
    return public_key(bytes([number]) * SEED_BYTES)


def values(count: int = 2, **more: Any) -> dict[str, Any]:
    """Config of a cluster at 192.0.2.11, .12 and .21 …"""
    listed = {
        "balancers": [{"address": f"192.0.2.{last}", "hostKey": key(last)} for last in (11, 12)],
        "nodes": [{"address": f"192.0.2.{last}", "hostKey": key(last)} for last in range(21, 21 + count)],
        "privateKeyFile": "~/.ssh/key",
        "brick": "/dev/vdb",
    }
    top = {name: value for name, value in more.items() if name in TOP}
    below = {name: value for name, value in more.items() if name not in top}
    return {
        "substrate": "existing",
        "network": "192.0.2.0/24",
        "floatingIp": "192.0.2.10",
        **top,
        "existing": {**listed, **below},
    }


def read(given: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> tuple[Settings, Existing]:
    settings, substrate = read_with_substrate(given, secrets)
    assert isinstance(substrate, Existing)
    return settings, substrate


def refusal(given: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> str:
    with pytest.raises(ConfigError) as caught:
        read(given, secrets)
    return str(caught.value)


def test_as_many_nodes_as_are_listed() -> None:
    bastion = {"host": "gate.example.org", "hostKey": f"gate.example.org {key(1)} me"}
    settings, substrate = read(values(count=3, bastion=bastion))
    existing = substrate.settings
    assert settings.php_nodes == 3
    assert existing.bastion and existing.bastion.host_key == key(1)
    assert existing.user == "root" and not existing.delete_sessions
    assert [existing.key_of(name) for name in ("lb2", "php3")] == [
        "php-cluster:existing.balancers[1]",
        "php-cluster:existing.nodes[2]",
    ]
    assert read_settings({**values(count=3), "phpNodes": 3}).php_nodes == 3
    # The engine hands out the default.
    assert read_settings({**values(count=3), "phpNodes": "2"}).php_nodes == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"balancers": values()["existing"]["balancers"][:1]}, "existing.balancers is "),
        ({"nodes": []}, "existing.nodes is []"),
        ({"nodes": [{"address": "192.0.2.21"}]}, "existing.nodes is "),
        ({"nodes": [{"address": "192.0.2.21", "hostKey": "ssh-rsa AAAA"}]}, "existing.nodes is "),
        (
            {"nodes": [{"address": "192.0.2.11", "hostKey": key(1)}]},
            "must be another machine than php-cluster:existing.b",
        ),
        ({"user": "root;reboot"}, "existing.user is "),
        ({"brick": "dev/vdb"}, "existing.brick is "),
        ({"brick": ""}, "existing.brick is not set"),
        ({"bastion": {"host": "gate"}}, "existing.bastion is "),
        ({"deleteSessionsOnDestroy": "perhaps"}, "existing.deleteSessionsOnDestroy is "),
        ({"privateKeyFile": ""}, "exactly one must be set"),
        ({"privateKey": "both"}, "exactly one must be set"),
        ({"privateKeyFile": "", "privateKey": "in the clear"}, "must be stored as a secret"),
        ({"hostKeys": []}, "existing.hostKeys is no key of this project"),
        ({"network": ""}, "network is not set"),
        ({"network": "192.0.2.0/28", "floatingIp": "192.0.2.14"}, None),
        ({"network": "198.51.100.0/24", "floatingIp": "198.51.100.10"}, "must lie in network, 198.51.100.0/24"),
        ({"floatingIp": ""}, "floatingIp is not set"),
        ({"floatingIp": "192.0.3.10"}, "a free address in 192.0.2.0/24"),
        ({"floatingIp": "192.0.2.255"}, "a free address in 192.0.2.0/24"),
        ({"floatingIp": "192.0.2.22"}, "it is php-cluster:existing.nodes[1]"),
        ({"floatingIp6": "2001:db8::10"}, None),
        ({"floatingIp6": "auto"}, "a free IPv6 address of a network that both balancers are in"),
        ({"phpNodes": 5}, "existing.nodes lists 2"),
        ({"debian": 11}, "debian is 11"),
        ({"upgrading": "php2"}, "Remove it: pulumi config rm upgrading"),
    ],
)
def test_wrong_settings_are_refused(changed: dict[str, Any], said: str | None) -> None:
    if said is None:
        read(values(**changed))
        return
    problem = refusal(values(**changed))
    assert said in problem
    assert "in the clear" not in problem


def test_a_secret_key_is_taken() -> None:
    given = values(privateKeyFile="", privateKey="hidden")
    assert read(given, frozenset({"existing"}))[1].settings.private_key == "hidden"


def test_another_substrate_needs_no_machines() -> None:
    assert read_settings({"existing": {}}).php_nodes == 2


def test_a_host_key_is_a_whole_key() -> None:
    assert host_key(f"192.0.2.11 {key(1)} comment") == key(1)
    for wrong in (key(1)[:-8], "ssh-ed25519", "ssh-ed25519 " + base64.b64encode(b"x" * 51).decode(), f"a b {key(1)}"):
        with pytest.raises(ValueError):
            host_key(wrong)


def planned(**more: Any) -> tuple[Settings, ExistingSettings, Topology]:
    settings, substrate = read(values(**more))
    return settings, substrate.settings, substrate.plan(settings, LastUpdate())


WELL = """clock 1000.5
system debian 12 Debian GNU/Linux 12 (bookworm)
architecture amd64
init systemd
address 127.0.0.1/8 lo
address {address}/24 eth0
free_mib 9000
packages_missing 0
end
"""


def said_by_all(plan: Topology, **more: str) -> dict[str, Facts]:
    """Machines on which all is well, but for what these say more or instead (a line with the same first word)."""
    found = {}
    for machine in plan.machines:
        lines = WELL.format(address=machine.address).splitlines()
        lines += ["fuse yes"] if machine.name.startswith("php") else []
        lines += ["brick disk 4096 empty"] if machine.has_brick else []
        extra = more.get(machine.name, "").splitlines()
        instead = {line.split()[0] for line in extra if not line.startswith("+")}
        kept = [line for line in lines if line.split()[0] not in instead]
        facts = parse("\n".join([*kept, *(line.removeprefix("+") for line in extra)]))
        facts.clock = (0.0, 0.4)
        found[machine.name] = facts
    return found


def failures(
    found: Mapping[str, Facts],
    *,
    owner: str = OWNER,
    known: str = "",
    answer: bool = True,
    floating_ip6: str = "",
    http3: bool = False,
    **more: Any,
) -> list[str]:
    certificate = {"acme": {"email": "admin@example.org"}, "siteName": "www.example.org"} if http3 else {}
    settings, existing, plan = planned(floatingIp6=floating_ip6, http3=http3, **certificate)
    return Judge(settings, existing, plan, found, owner, frozenset(known.split()), **more).judge(must_answer=answer)


def test_http3_wants_balancers_that_speak_it() -> None:
    assert failures(said_by_all(planned()[2]), http3=False) == []
    said = failures(said_by_all(planned()[2]), http3=True)
    assert [each.split(" (")[0] for each in said] == ["lb1", "lb2"]
    assert "it runs Debian 12\n    php-cluster:http3: must be false: HAProxy speaks HTTP/3 since Debian 13." in said[0]


@pytest.mark.parametrize(
    ("machine", "line", "said"),
    [
        ("lb1", "system ubuntu 24.04 Ubuntu 24.04.1 LTS", "it runs Ubuntu 24.04.1 LTS"),
        ("lb1", "system debian 11 Debian GNU/Linux 11 (bullseye)", "it runs Debian GNU/Linux 11 (bullseye)"),
        ("lb1", "system debian 13 Debian GNU/Linux 13 (trixie)", "it runs Debian 13, and lb2 Debian 12"),
        ("php2", "architecture i386", "its architecture is i386"),
        ("php2", "init other", "systemd is not its first process"),
        ("php2", "fuse no", "it has no FUSE"),
        ("lb2", "free_mib 100", "its root disk has 100 MiB free, 256 are needed"),
        ("lb2", "free_mib 900\npackages_missing 3", "its root disk has 900 MiB free, 1024 are needed"),
        ("lb2", "+packages unreachable (http://mirror)", "its packages are unreachable (http://mirror)"),
        ("lb2", "brick missing", "there is no /dev/vdb"),
        ("lb2", "brick on_root", "/dev/vdb is on the root disk"),
        ("lb2", "brick disk 1024 empty", "1024 MiB is large, 2048 are needed"),
        ("lb2", "brick disk 4096 ext4", "is not empty, but ext4"),
        ("lb2", "brick disk 4096 xfs\nbrick_foreign photos", "is in use: photos"),
        ("lb2", "brick disk 4096 xfs\nbrick_unknown /x/brick", "there is /x/brick, of which nothing is known"),
        ("lb2", "brick disk 4096 xfs\nbrick_kept lb2 id", "lb1 (192.0.2.11): /dev/vdb has no sessions of an earlier"),
        ("php2", "+listens 80 apache2", "apache2 listens on port 80"),
        ("lb1", "+runs keepalived", "keepalived runs already"),
        ("lb1", "+foreign /etc/haproxy/haproxy.cfg", "/etc/haproxy/haproxy.cfg is somebody else's"),
        ("lb1", "+owner ffff other", "it belongs to the stack other"),
        ("lb1", "address 10.0.0.1/24 eth0", "192.0.2.11 is not its own address, those are 10.0.0.1"),
        ("lb1", "address 192.0.2.11/25 eth0", "it is in the network 192.0.2.0/25"),
        ("php2", "+address 192.0.2.21/24 eth0", "it is the same machine as php1"),
        ("php2", "+cut_off php1 49200", "its packets do not get to php1, port 49200"),
        ("php2", "+cut_off lb1 24007", "its packets do not get to lb1, port 24007"),
        ("lb1", "+floating_ip taken 52:54:00:12:34:56", "somebody else has 192.0.2.10, at 52:54:00:12:34:56"),
        ("php2", "+address 192.0.2.10/24 eth0", "it has 192.0.2.10 itself"),
        ("lb2", "+address 192.0.2.10/24 eth0", "it has 192.0.2.10 itself"),
    ],
)
def test_a_machine_that_is_not_fit_is_named(machine: str, line: str, said: str) -> None:
    *_, plan = planned()
    found = failures(said_by_all(plan, **{machine: line}))
    assert any(said in one for one in found), found
    assert all("php-cluster:" in one for one in found)


def with_ipv6(**more: str) -> list[str]:
    """What is wrong where both balancers are in one IPv6 network, but for what they say more."""
    link = "+address6 2001:db8::1{}/64 eth0\n+floating_ip6_link eth0"
    said = {"lb1": link.format(1), "lb2": link.format(2), "php1": "", "php2": ""} | more
    found = said_by_all(planned()[2], **said)
    assert failures(found) == []
    return failures(found, floating_ip6="2001:db8::10")


ROUTED, ELSEWHERE = "+address6 fe80::1/64 eth0", "+address6 fd00::1/64 eth1\n+floating_ip6_link eth1"


@pytest.mark.parametrize(
    ("machine", "line", "said"),
    [
        ("lb2", ROUTED, "2001:db8::10 is in no network of eth0, whose IPv6 addresses are fe80::1/64"),
        ("lb2", ELSEWHERE, "2001:db8::10 is in no network of eth0, whose IPv6 addresses are none"),
        ("lb1", "+floating_ip6_link eth0\n+floating_ip6 taken 52:54:00:12:34:56", "somebody else has 2001:db8::10"),
        ("lb1", "+floating_ip6 here\n+address6 2001:db8::10/64 eth0", "it has 2001:db8::10 itself"),
        ("php2", "+address6 2001:db8::10/64 eth0", "it has 2001:db8::10 itself"),
    ],
)
def test_an_ipv6_address_that_cannot_float_is_named(machine: str, line: str, said: str) -> None:
    assert with_ipv6() == []
    [problem] = with_ipv6(**{machine: line})
    assert said in problem and "php-cluster:floatingIp6: a" in problem


def test_the_cluster_s_own_balancer_may_have_the_ipv6_address() -> None:
    mine = f"+owner {OWNER} dev"
    held = "+floating_ip6 here\n+address6 2001:db8::10/128 eth0\n+floating_ip6_link lo"
    other = "+floating_ip6 taken 52:54:00:12:34:56\n+floating_ip6_link eth0"
    assert with_ipv6(lb1=f"{mine}\n{held}", lb2=f"{mine}\n{other}") == []


def test_another_system_is_one_failure_of_one_machine() -> None:
    *_, plan = planned()
    for machine in ("lb1", "php2"):
        assert len(failures(said_by_all(plan, **{machine: "system devuan 5 Devuan 5"}))) == 1
        assert len(failures(said_by_all(plan, **{machine: "system debian 11 Debian 11"}))) == 1


TRIXIE = "system debian 13 Debian GNU/Linux 13 (trixie)"


@pytest.mark.parametrize(
    ("newer", "ours", "said"),
    [
        ("lb2 php2", "", []),
        ("lb2 php1", "lb1 lb2 php1", []),
        ("lb1", "lb1 lb2", []),
        ("lb1", "", ["lb1 (192.0.2.11): it runs Debian 13, and lb2 Debian 12"]),
        ("lb2", "lb1", ["lb2 (192.0.2.12): it runs Debian 13, and lb1 Debian 12"]),
        ("lb2", "lb2", ["lb1 (192.0.2.11): it runs Debian 12, and lb2 Debian 13"]),
    ],
)
def test_machines_of_both_releases_are_taken_where_gluster_takes_them(newer: str, ours: str, said: list[str]) -> None:
    *_, plan = planned()
    mine = dict.fromkeys(ours.split(), f"+owner {OWNER} dev")
    more = {
        name: "\n".join(filter(None, [mine.get(name, ""), TRIXIE if name in newer else ""]))
        for name in ("lb1", "lb2", "php1", "php2")
    }
    assert [one.splitlines()[0] for one in failures(said_by_all(plan, **more))] == said


def test_two_machines_that_sessions_need_do_not_update_themselves_at_once() -> None:
    *_, plan = planned()
    debian_s_own = "+own_updates 360 90\n+own_reboot"
    found = said_by_all(plan, **dict.fromkeys(("lb1", "php1", "php2"), debian_s_own), lb2="+own_updates 480 90")
    [problem] = failures(found)
    assert problem.startswith("php1 (192.0.2.21): unattended-upgrades may restart") and "with lb1, 06:00 to" in problem
    assert "OnCalendar=02:00 UTC" in problem
    # As cloud images have it: each gets another hour than all others.
    found = said_by_all(plan, **dict.fromkeys(("lb1", "lb2", "php1", "php2"), debian_s_own))
    assert [re.findall(r"^\w+|OnCalendar=(\d+)", one)[-1] for one in failures(found)] == ["02", "04"]
    # An hour that one of them boots at counts, over midnight too.
    found = said_by_all(plan, lb1="+own_updates 120 60\n+own_reboot 1435 10", lb2="+own_updates 0 60")
    assert len(failures(found)) == 1
    # A cluster in which it is so must be able to change.
    mine = f"+owner {OWNER} dev\n+own_updates 360 90"
    settings, existing, _ = planned()
    judge = Judge(settings, existing, plan, said_by_all(plan, lb1=mine, lb2=mine), OWNER, frozenset())
    assert judge.judge(must_answer=True) == []
    [warning] = judge.warnings
    assert warning.startswith("lb2: unattended-upgrades") and "OnCalendar=02:00 UTC" in warning


def test_machines_of_the_cluster_may_be_upgraded_one_after_the_other() -> None:
    *_, plan = planned()
    mine, upgraded = f"+owner {OWNER} dev", "system debian 13 Debian GNU/Linux 13 (trixie)"
    found = said_by_all(plan, lb1=f"{mine}\n{upgraded}", lb2=mine, php1=mine, php2=mine)
    assert failures(found) == []


def test_machines_that_are_well_are_taken() -> None:
    *_, plan = planned()
    assert failures(said_by_all(plan)) == []
    # As they are when the cluster runs.
    mine = f"+owner {OWNER} dev\nfree_mib 10\n+listens 80 haproxy\n+cut_off lb1 24007\n+foreign /session"
    running = said_by_all(
        plan, **dict.fromkeys(("lb2", "php1", "php2"), mine), lb1=f"{mine}\n+address 192.0.2.10/24 eth0"
    )
    running["lb2"].said["floating_ip"] = ["taken 52:54:00:12:34:56"]
    assert failures(running) == []
    assert len(failures(running, owner="another")) >= 4


def test_a_machine_that_has_lost_its_mark_alone_is_taken() -> None:
    *_, plan = planned()
    found = said_by_all(plan, lb2="+runs keepalived\n+listens 80 haproxy\n+leave yes")
    assert failures(found, known="lb2") == []
    # Known or not, one that an earlier stack has is not.
    assert len(failures(found)) == 2
    found["lb2"].said["owner"] = ["ffff other"]
    assert "belongs to the stack other" in failures(found, known="lb2")[0]


def test_a_machine_keeps_its_name() -> None:
    *_, plan = planned()
    last = {"192.0.2.11": "lb1", "192.0.2.12": "lb2", "192.0.2.21": "php1"}
    assert failures(said_by_all(plan), belonged={**last, "192.0.2.29": "php2"}) == []
    # The second of three nodes was taken from the list.
    said = failures(said_by_all(plan), belonged={**last, "192.0.2.29": "php2", "192.0.2.22": "php3"})
    assert [one.splitlines()[0] for one in said] == ["php2 (192.0.2.22): it is php3 of this stack"]


def test_a_balancer_that_leaves_may_have_the_floating_ip() -> None:
    *_, plan = planned()
    taken = said_by_all(plan, **dict.fromkeys(("lb1", "lb2"), "+floating_ip taken 52:54:00:12:34:56"))
    assert len(failures(taken)) == 2
    assert len(failures(taken, replaced=frozenset({"php1"}))) == 2
    assert failures(taken, replaced=frozenset({"lb1"})) == []


def test_clocks_are_compared_with_each_other() -> None:
    *_, plan = planned()
    found = said_by_all(plan)
    for facts in found.values():
        # It is this box's clock that is wrong.
        facts.clock = (3600.0, 3600.9)
    assert failures(found) == []
    found["php2"].clock = (3590.0, 3590.9)
    assert [one.splitlines()[0] for one in failures(found)] == [
        "php2 (192.0.2.22): its clock is 9.1 s behind that of lb1"
    ]


def test_sessions_are_taken_over_whole_or_not_at_all() -> None:
    *_, plan = planned()
    kept = {name: f"brick disk 4096 xfs\nbrick_kept {name} id" for name in ("lb1", "lb2")}
    assert failures(said_by_all(plan, **kept)) == []
    swapped = {**kept, "lb1": kept["lb2"], "lb2": kept["lb1"]}
    assert len(failures(said_by_all(plan, **swapped))) == 2
    assert len(failures(said_by_all(plan, **{**kept, "lb2": "brick disk 4096 xfs\nbrick_kept lb2 other"}))) == 2
    # An update that took them over ended before it came to lb2; or another machine has been lb2 since.
    mine = f"+owner {OWNER} dev"
    late = said_by_all(plan, lb1=mine, lb2=kept["lb2"])
    assert failures(late) == []
    settings, existing, _ = planned()
    judge = Judge(settings, existing, plan, late, OWNER, frozenset(), frozenset({"lb2"}))
    assert ["has gone on without it" in one for one in judge.judge(must_answer=True)] == [True]


def test_a_volume_keeps_its_choice_of_tls_when_it_is_taken_over() -> None:
    plain = {name: f"brick disk 4096 xfs\nbrick_kept {name} id" for name in ("lb1", "lb2")}
    encrypted = {name: f"{facts}\n+brick_kept_tls yes" for name, facts in plain.items()}
    *_, plan = planned()
    said = failures(said_by_all(plan, **encrypted))
    assert len(said) == 2 and all("php-cluster:glusterTls: set it to true" in one for one in said)
    settings, existing, _ = planned()
    wanting = dataclasses.replace(settings, gluster_tls=True)
    for kept, refused in ((plain, 2), (encrypted, 0)):
        judge = Judge(wanting, existing, plan, said_by_all(plan, **kept), OWNER, frozenset(), frozenset())
        assert len(judge.judge(must_answer=True)) == refused


def test_who_does_not_answer() -> None:
    *_, plan = planned()
    found = said_by_all(plan)
    found["lb1"].failure, found["php2"].failure = "unreachable", "unreachable"
    assert failures(found, answer=False) == []
    assert [one.split()[0] for one in failures(found, known="lb1")] == ["php2"]
    for failure in ("host key", "bastion host key", "login", "sudo", "broken"):
        found["lb1"].failure = failure
        assert [one.split()[0] for one in failures(found, answer=False)] == ["lb1"]


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("ssh: connect to host 192.0.2.11 port 22: Connection timed out", "unreachable"),
        ("Host key for 192.0.2.11 has changed and you have requested strict checking.", "host key"),
        ("No ED25519 host key is known for 192.0.2.11 and you have requested strict checking.", "host key"),
        ("No ED25519 host key is known for 192.0.2.1 and …\nHost key verification failed.", "bastion host key"),
        ("root@192.0.2.11: Permission denied (publickey).", "login"),
        ("sudo: a password is required", "sudo"),
        ("bash: line 1: sudo: command not found", "sudo"),
    ],
)
def test_why_a_machine_says_nothing(words: str, failure: str) -> None:
    assert failure_of("192.0.2.11", Facts(), words) == failure


def test_each_machine_is_asked_for_its_ports_and_its_ways() -> None:
    settings, existing, plan = planned()
    lb1, *_, php2 = plan.machines
    asked = questions(settings, existing, plan, php2, ["lb1", "lb2"])
    assert "PEERS='php1 192.0.2.21 49200'\n" in asked and "BRICK=''" in asked
    asked = questions(settings, existing, plan, lb1, [])
    assert f"PORTS='{' '.join(map(str, ports_listened(lb1, metrics=False)))}'\n" in asked
    for other in plan.machines:
        for port in ports_between(lb1, other):
            assert f"{other.name} {other.address} {port}\n" in asked.replace("'", "\n")


def machines_graph(drift: Drift | None = None, **more: Any) -> Graph:
    _, existing, plan = planned(**more)
    login = private_key(b"l" * SEED_BYTES)
    return graph_of(lambda: ExistingSubstrate(existing, plan, login, {}, drift or Drift(LastUpdate())))


def test_each_machine_is_claimed_and_leaves() -> None:
    graph = machines_graph(user="ops", bastion={"host": "gate", "user": "me", "hostKey": key(9)})
    for name in ("lb1", "lb2", "php1", "php2"):
        inputs = graph[f"{name}-machine"].inputs
        assert (inputs["create"], inputs["delete"]) == ("scripts/existing/machine up", "scripts/existing/machine down")
        assert inputs["environment"]["DELETE_SESSIONS"] == "no"
        assert (inputs["environment"]["LOGIN"], inputs["environment"]["BASTION"]) == ("ops", "me@gate")
        assert inputs["triggers"] == [inputs["environment"]["ADDRESS"], inputs["environment"]["HOST_KEY"]]
        # The key is a secret, and in no command line.
        assert "value" in inputs["stdin"] and "PRIVATE KEY" not in str(inputs["environment"])
    # Those that write to bricks leave first.
    assert {"lb1-machine", "lb2-machine"} <= everything_before(graph, "php2-machine")
    assert "php1-machine" not in everything_before(graph, "lb1-machine")
    wanting = machines_graph(deleteSessionsOnDestroy=True)
    assert wanting["lb1-machine"].inputs["environment"]["DELETE_SESSIONS"] == "yes"


def test_a_machine_that_leaves_stops_all_that_was_started_there() -> None:
    scripts = "".join(path.read_text() for path in HOST_SCRIPTS.rglob("*.sh"))
    started = set(re.findall(r"^enabled_and_running (php-cluster-[\w-]+)", scripts, re.MULTILINE))
    of_a_cloud = {"php-cluster-elastic-ip", "php-cluster-router"}
    leave = (PROJECT / "scripts" / "existing" / "leave").read_text()
    stopped = "".join(re.findall(r"^ *off (?:.*\\\n)*.*", leave, re.MULTILINE))
    assert started - of_a_cloud <= set(re.findall(r"\bphp-cluster-[\w-]+", stopped))


def test_a_node_that_leaves_is_the_last_of_the_list() -> None:
    before, after = machines_graph(count=2), machines_graph(count=1)
    gone = before.keys() - after.keys()
    assert gone == {"php2-machine", "php2-scripts", "ExistingMachine php2"}
    assert all(before[name].inputs == after[name].inputs for name in after)


def test_a_machine_without_its_mark_is_another_one() -> None:
    drift = Drift(LastUpdate())
    drift.lose("lb2")
    graph = machines_graph(drift)
    assert graph["lb2-machine"].inputs["triggers"][-1].startswith("lb2 is gone (")
    assert len(graph["lb1-machine"].inputs["triggers"]) == 2


def test_the_packet_filter_lets_in_those_that_are_named() -> None:
    *_, plan = planned()
    rules = packet_filter(plan, plan.balancers[0])
    assert "define php_nodes = { 192.0.2.21, 192.0.2.22 }\n" in rules
    assert names_nodes(plan)
