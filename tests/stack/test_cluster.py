"""What a user sees of a cluster that is up and well."""

import base64
import functools
import itertools
import json
import re
import urllib.error
from typing import Any

import pytest

from components.plan.traffic import (
    ARBITER_PORT,
    BRICK_PORTS,
    GLUSTERD_PORT,
    HTTP_PORT,
    INNER_PORT,
    MEMBERS_PORT,
    METADATA,
    SSH_PORT,
    STATISTICS_PORT,
)
from tests.commands import said
from tests.lab.test_configurations import MOST_EXPOSED
from tests.stack.cluster import Cluster, gluster_ports, request, stranger, wait_for
from tests.stack.health import whole_again


def test_nothing_is_left_to_do(cluster: Cluster) -> None:
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
    # Nor after a look at what is really there.
    cluster.pulumi("refresh", "--yes", "--stack", cluster.name)
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)


def test_no_outgoing_connection_gets_the_arbiter_s_port(cluster: Cluster) -> None:
    reserved = "/proc/sys/net/ipv4/ip_local_reserved_ports"
    assert cluster.enter("php1", f"cat {reserved}").strip() == str(ARBITER_PORT)
    # As a boot does it.
    said = cluster.enter("php1", f"echo >{reserved}; systemctl restart systemd-sysctl; cat {reserved}")
    assert said.strip() == str(ARBITER_PORT)


def test_a_counter_rises_while_nodes_alternate(cluster: Cluster) -> None:
    visitor = cluster.visitor()
    for expected in range(1, 41):
        assert visitor.visit()["counter"] == expected
    nodes = [answer["node"] for answer in visitor.seen]
    assert set(nodes) == {"php1", "php2"}
    assert all(one != next_one for one, next_one in itertools.pairwise(nodes)), nodes


def test_sessions_are_apart(cluster: Cluster) -> None:
    one, other = cluster.visitor(), cluster.visitor()
    for _ in range(3):
        one.visit()
    other.visit()
    assert (one.count, other.count) == (3, 1)


def test_services_are_confined(cluster: Cluster) -> None:
    look = f"""
        cd /etc/systemd/system
        systemctl list-units --all --plain --no-legend 'php-cluster-*.service' | while read -r unit _; do
            # Not what systemd-run has started for a while.
            [[ $(systemctl show --property FragmentPath --value "$unit") == "$PWD"/* ]] || continue
            systemd-analyze security --no-pager --threshold={MOST_EXPOSED} "$unit" >/dev/null || echo -n 'EXPOSED '
            echo "$unit"
        done
        # A value that put_unit was not told.
        grep --with-filename '@[A-Za-z_]*@' php-cluster-*.service || true"""
    found = {machine: cluster.enter(machine, look) for machine in cluster.outputs()["machines"]}
    assert "php-cluster-balancer" in found["lb1"] and "php-cluster-fpm@" in found["php2"]
    assert not re.search("EXPOSED|@[A-Za-z_]+@", "".join(found.values())), found


def brick_listing(cluster: Cluster, balancer: str) -> str:
    """Names and checksums of what lies on a brick, Gluster's own bookkeeping left out."""
    return cluster.ssh(
        balancer,
        "cd /session/brick && find . -path ./.glusterfs -prune -o -type f -exec sha256sum {} + | sort",
    )


def test_bricks_are_equal(cluster: Cluster) -> None:
    visitor = cluster.visitor()
    for _ in range(10):
        visitor.visit()
    listing = brick_listing(cluster, "lb1")
    assert visitor.cookie.split("=")[1] in listing
    wait_for("both bricks hold the same", lambda: brick_listing(cluster, "lb1") == brick_listing(cluster, "lb2"))


def test_outputs_say_what_the_cluster_is(cluster: Cluster) -> None:
    outputs = cluster.outputs()
    assert outputs["url"] == f"http://{outputs['floatingIp']}/"
    assert set(outputs["machines"]) == {"lb1", "lb2", "php1", "php2"}
    for name, machine in outputs["machines"].items():
        assert set(machine) == {"role", "address", "login", "ssh"}
        done = cluster.run(*machine["ssh"].split(), "hostname")
        assert done.stdout.strip() == name, done.stderr
    assert "Type: Replicate" in outputs["volumeInfo"]
    assert "Number of Bricks: 1 x 2 = 2" in outputs["volumeInfo"]
    assert "Thin-arbiter-path: php1:" in outputs["volumeInfo"]
    assert "Status: Started" in outputs["volumeInfo"]
    assert all("/media/sessions glusterfs" in line for line in outputs["mounts"].values())


def test_visitors_come_by_ipv6_to_the_site_and_to_nothing_else(cluster: Cluster) -> None:
    visitor = cluster.visitor6()
    assert [visitor.visit()["counter"] for _ in range(4)] == [1, 2, 3, 4]
    [owner] = cluster.owners_of_floating_ip("floatingIp6")
    assert {answer["balancer"] for answer in visitor.seen} == {owner}
    # This box has the first address of the network, and each balancer one of its own.
    network = cluster.outputs()["floatingIp6"].removesuffix("10")
    logged = cluster.enter(owner, "journalctl --identifier=haproxy --since=-1min --output=cat")
    assert f" client={network}1 " in logged

    def reaches(balancer: str, port: int) -> bool:
        address = f"{network}1{balancer[-1]}"
        return cluster.run("timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}").returncode == 0

    for balancer in ("lb1", "lb2"):
        wait_for("the site's port is there", functools.partial(reaches, balancer, HTTP_PORT))
        inner = [STATISTICS_PORT, MEMBERS_PORT, *gluster_ports(cluster, balancer)]
        assert [port for port in inner if reaches(balancer, port)] == []


def test_status_finds_all_well(cluster: Cluster) -> None:
    cluster.visitor().visit()
    # Not before HAProxy's checks have seen what the tests before this one did.
    status = wait_for("all is well", lambda: well(cluster))
    assert status["site"] == "200" and status["drift"] == {}
    assert status["sessions"] >= 1
    assert list(status["floating_ip"]["owners"]) == status["floating_ip"]["owners6"] == cluster.owners_of_floating_ip()
    assert status["balancers"] == {name: {"php1": "UP", "php2": "UP"} for name in ("lb1", "lb2")}
    assert {host: brick["to_heal"] for host, brick in status["bricks"].items()} == {"lb1": "0", "lb2": "0"}
    assert {name: set(machine["daemons"]) for name, machine in status["machines"].items()} == {
        "lb1": {"glusterd", "haproxy", "keepalived", "php-cluster-balancer"},
        "lb2": {"glusterd", "haproxy", "keepalived", "php-cluster-balancer"},
        "php1": {"php-cluster-arbiter", "nginx", "php-cluster-sessions", "php-fpm"},
        "php2": {"nginx", "php-cluster-sessions", "php-fpm"},
    }
    assert status["machines"]["php1"]["mount"] == "mounted"
    shown = cluster.status("--seconds", "30")
    assert shown.returncode == 0 and "all is well" in shown.stdout


def test_status_sees_a_clock_that_is_behind(cluster: Cluster) -> None:
    """Machines of the lab have the box's clock, so one of them looks at another."""
    slow = "/usr/local/bin/date"
    cluster.enter("php2", f"printf '#!/bin/sh\\nexec /bin/date --date=-1min \"$@\"\\n' >{slow}; chmod +x {slow}")
    try:
        status = json.loads(cluster.status("--json", "--seconds", "30").stdout)
        assert any(said.startswith("the clock of php2 is ") for said in status["problems"]), status["problems"]
    finally:
        cluster.enter("php2", f"rm {slow}")


def well(cluster: Cluster) -> dict[str, Any]:
    done = cluster.status("--json", "--seconds", "30")
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, found["problems"]
    return found


def test_a_machine_of_its_own_would_get_chrony(cluster: Cluster) -> None:
    """Seen only: in the lab a chrony would set the clock of the box."""
    container, look = "/run/systemd/container", "CHECK=yes bash /var/lib/php-cluster/steps/php2-install || true"
    try:
        cluster.enter("php2", f"mv {container} {container}.away")
        assert cluster.enter("php2", look).strip() == "has chrony set the clock, which nothing does"
        with_one = f"cp /bin/sleep /run/chronyd; /run/chronyd 30 & sleep 0.2; {look}; kill %1; rm /run/chronyd"
        assert "nothing to change" in cluster.enter("php2", with_one)
    finally:
        cluster.enter("php2", f"mv {container}.away {container}")
    assert "nothing to change" in cluster.enter("php2", look)


def test_peers_are_connected(cluster: Cluster) -> None:
    assert cluster.ssh("lb1", "gluster --mode=script peer status").count("Peer in Cluster (Connected)") == 1


def test_statistics_need_the_password(cluster: Cluster) -> None:
    outputs = cluster.outputs()
    assert request(outputs["statsUrl"]).status == 401
    credentials = base64.b64encode(f"admin:{outputs['statsPassword']}".encode()).decode()
    answer = request(outputs["statsUrl"], {"Authorization": f"Basic {credentials}"})
    assert answer.status == 200 and "php2" in answer.text


def test_inner_pages_are_not_for_the_outside(cluster: Cluster) -> None:
    outputs = cluster.outputs()
    assert request(outputs["url"] + ".php-cluster/health").status == 404
    lb1 = outputs["machines"]["lb1"]["address"]
    # The packet filter answers nobody there but PHP nodes.
    with pytest.raises(urllib.error.URLError, match="timed out"):
        request(f"http://{lb1}:8405/members;csv")


def test_members_are_the_balancers_own_view(cluster: Cluster) -> None:
    answer = request(cluster.outputs()["url"] + "members.php")
    assert answer.status == 200
    assert {"php1", "php2"} <= set(re.findall(r"php\d+", answer.text))


def test_no_secret_in_plain_state_or_log(cluster: Cluster) -> None:
    outputs = cluster.outputs()
    secrets = [outputs["statsPassword"], outputs["sshPrivateKey"].splitlines()[2]]
    state = "".join(path.read_text() for path in cluster.backend.rglob("*") if path.is_file())
    masked = cluster.pulumi("stack", "output", "--json", "--stack", cluster.name).stdout
    for secret in secrets:
        assert secret not in state
        assert secret not in masked
    for name in outputs["machines"]:
        journal = cluster.ssh(name, "journalctl --no-pager; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert not any(secret in journal for secret in secrets)


def test_every_host_script_run_again_changes_nothing(cluster: Cluster) -> None:
    steps = [
        resource
        for resource in cluster.export()["deployment"]["resources"]
        if resource["type"] == "command:remote:Command"
    ]
    assert len(steps) > 15
    addresses = {machine["address"]: name for name, machine in cluster.outputs()["machines"].items()}
    for step in steps:
        stdin = step["inputs"]["stdin"]
        script = stdin["plaintext"] if isinstance(stdin, dict) else stdin
        if isinstance(stdin, dict):
            script = json.loads(script)
        name = step["urn"].rsplit("::", 1)[1]
        machine = addresses[_plain(step["inputs"]["connection"])["host"]]
        said = cluster.ssh(machine, "bash -s", stdin=script)
        if name != "volume-info":
            assert said.strip().endswith("(nothing to change)"), f"{name} on {machine} said {said!r}"


def _plain(value: object) -> dict[str, str]:
    if isinstance(value, dict) and "plaintext" in value:
        value = json.loads(value["plaintext"])
    assert isinstance(value, dict)
    return value


def test_the_tree_stays_clean(cluster: Cluster) -> None:
    """What Pulumi writes into settings files is no news to git, while a user's own settings are."""
    assert cluster.name not in said("git", "status", "--porcelain", "--untracked-files=all")
    assert "encryptionsalt: v1" not in said("git", "diff", "HEAD", "--", "Pulumi.dev.yaml")


def test_expired_sessions_are_collected_and_others_are_not(cluster: Cluster) -> None:
    old, fresh = cluster.visitor(), cluster.visitor()
    names = []
    for visitor in (old, fresh):
        visitor.visit()
        names.append("sess_" + visitor.cookie.partition("=")[2])
    cluster.ssh("php2", f"touch --date='2 days ago' /media/sessions/{names[0]}")
    cluster.ssh("php1", "systemctl start php-cluster-collect")
    left = cluster.ssh("php2", "ls /media/sessions").split()
    assert names[0] not in left and names[1] in left
    assert fresh.visit()["counter"] == 2
    assert old.visit()["counter"] == 1


TRY_TO_MOUNT = """
mkdir -p /mnt/try
timeout 60 mount -t glusterfs lb1:/sessions /mnt/try && timeout 10 ls /mnt/try >/dev/null && echo admitted
umount /mnt/try
true
"""


def test_the_volume_admits_its_clients_one_by_one(cluster: Cluster) -> None:
    admitted = cluster.ssh("lb1", "gluster volume get sessions auth.allow | awk 'END { print $2 }'").strip()
    assert set(admitted.split(",")) == {cluster.address("php1"), cluster.address("php2")}
    assert "admitted" in cluster.ssh("php2", TRY_TO_MOUNT)
    try:
        cluster.ssh("lb1", f"gluster --mode=script volume set sessions auth.allow {cluster.address('php1')}")
        # glusterd says that it is done before the bricks have read it.
        wait_for("php2 is refused", lambda: "admitted" not in cluster.ssh("php2", TRY_TO_MOUNT))
    finally:
        cluster.ssh("lb1", f"gluster --mode=script volume set sessions auth.allow {admitted}")
    wait_for("php2 is admitted again", lambda: "admitted" in cluster.ssh("php2", TRY_TO_MOUNT))
    # The client of its own mount ends when it is refused, and is started anew.
    wait_for("php2's own mount is there again", lambda: cluster.ssh("php2", "ls /media/sessions"))
    whole_again(cluster)


def test_sessions_are_for_php_alone(cluster: Cluster) -> None:
    for node in ("php1", "php2"):
        said = cluster.ssh(node, "runuser --user nobody -- ls /media/sessions 2>&1; true")
        assert "Permission denied" in said, said


def test_a_stranger_on_the_network_reaches_the_site_and_nothing_else(cluster: Cluster) -> None:
    """One more machine on the cluster's own switch."""
    with stranger(cluster, 200) as on_stranger:

        def reaches(machine: str, port: int) -> bool:
            address = cluster.address(machine)
            return on_stranger("timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}").returncode == 0

        wait_for("it is on the network", lambda: reaches("lb1", 80))
        assert reaches("lb2", 80)
        ports = gluster_ports(cluster, "lb1")
        bricks = [port for port in ports if BRICK_PORTS[0] <= port <= BRICK_PORTS[1]]
        assert bricks and set(ports) == {GLUSTERD_PORT, *bricks}
        assert [port for port in ports if reaches("lb1", port)] == []
        assert gluster_ports(cluster, "php1") == [ARBITER_PORT]
        assert not reaches("php1", ARBITER_PORT)
        assert not reaches("php2", 80)
        assert not reaches("lb1", MEMBERS_PORT) and not reaches("php2", INNER_PORT)


def test_a_site_s_code_reaches_neither_gluster_nor_metadata(cluster: Cluster) -> None:
    def reaches(user: str, address: str, port: int) -> bool:
        tried = f"runuser --user {user} -- timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}' && echo yes; true"
        return cluster.enter("php1", tried).strip() == "yes"

    places = [(cluster.address("lb1"), port) for port in gluster_ports(cluster, "lb1")]
    # The arbiter is on this machine itself, and so is a cloud's metadata here: nginx takes port 80 of any address.
    places += [(cluster.address("php1"), ARBITER_PORT), (METADATA, 80)]
    cluster.enter("php1", f"ip address add {METADATA}/32 dev lo")
    try:
        assert [place for place in places if not reaches("root", *place)] == []
        assert [place for place in places if reaches("www-data", *place)] == []
        assert reaches("www-data", cluster.address("php2"), SSH_PORT)
    finally:
        cluster.enter("php1", f"ip address delete {METADATA}/32 dev lo")


def test_a_machine_reaches_of_another_what_it_needs_and_no_more(cluster: Cluster) -> None:
    def reaches(source: str, target: str, port: int) -> bool:
        tried = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{cluster.address(target)}/{port}' && echo yes; true"
        return cluster.enter(source, tried).strip() == "yes"

    assert reaches("php2", "lb1", MEMBERS_PORT) and not reaches("lb2", "lb1", MEMBERS_PORT)
    assert reaches("lb1", "php2", INNER_PORT) and not reaches("php1", "php2", INNER_PORT)
    assert reaches("lb1", "php1", ARBITER_PORT) and reaches("php2", "php1", ARBITER_PORT)
    assert reaches("php2", "lb1", GLUSTERD_PORT) and reaches("lb2", "lb1", GLUSTERD_PORT)
