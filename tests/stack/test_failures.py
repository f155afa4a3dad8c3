"""Machines that die, reboot, or lose power all at once; each test leaves the cluster whole."""

import functools
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.cluster import Cluster, request, wait_for
from tests.stack.health import (
    CLIENTS,
    balancers,
    goes_on,
    nodes_that_answer,
    nodes_that_answer_to,
    used_session,
    whole_again,
)

HEALTH = "curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:8406/health"


pytestmark = pytest.mark.usefixtures("restored")


def test_the_active_balancer_loses_power(cluster: Cluster) -> None:
    visitor, by_ipv6 = used_session(cluster), cluster.visitor6()
    by_ipv6.visit()
    active, spare = balancers(cluster)
    cluster.lab_command("power-off", active)
    for each in (visitor, by_ipv6):
        goes_on(each)
        assert each.seen[-1]["balancer"] == spare
    assert cluster.owners_of_floating_ip() == cluster.owners_of_floating_ip("floatingIp6") == [spare]
    cluster.lab_command("restore", active)
    whole_again(cluster)
    # The returning machine does not take the address back: that would be a second interruption.
    assert cluster.owners_of_floating_ip() == [spare]
    goes_on(visitor)


def test_haproxy_fails_on_the_active_balancer(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    [active] = cluster.owners_of_floating_ip()
    # Stopped by the operator's own means, so that it does not come back by itself.
    cluster.enter(active, "systemctl stop haproxy")
    wait_for("the address moves", lambda: cluster.owners_of_floating_ip() not in ([], [active]))
    goes_on(visitor)
    cluster.enter(active, "systemctl start haproxy")
    whole_again(cluster)


def test_a_php_node_loses_its_link(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    cluster.lab_command("cut", "php2")
    goes_on(visitor)
    wait_for("php1 serves alone", lambda: nodes_that_answer(cluster) == {"php1"})
    cluster.lab_command("restore", "php2")
    whole_again(cluster)
    goes_on(visitor)


def first_process(cluster: Cluster, machine: str) -> str:
    """When the machine's first process started, which tells one boot from the next."""
    return cluster.enter(machine, "ps -o lstart= -p 1")


def test_each_machine_reboots(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    for machine in cluster.outputs()["machines"]:
        boot = first_process(cluster, machine)
        cluster.enter(machine, "systemctl --no-block reboot")
        wait_for(f"{machine} has booted again", functools.partial(has_booted_since, cluster, machine, boot))
        whole_again(cluster)
        goes_on(visitor)
        # systemd drops a unit of such a cycle, another one at each boot: what does start is luck.
        assert "ordering cycle" not in cluster.enter(machine, "journalctl --boot --no-pager")


def has_booted_since(cluster: Cluster, machine: str, boot: str) -> bool:
    return first_process(cluster, machine) != boot


def test_all_machines_lose_power_at_once(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    machines = list(cluster.outputs()["machines"])
    for machine in machines:
        cluster.lab_command("power-off", machine)
    for machine in machines:
        cluster.lab_command("restore", machine)
    whole_again(cluster)
    goes_on(visitor)


def test_without_its_mount_a_node_is_out_of_service_until_it_is_back(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    cluster.enter("php2", "systemctl stop media-sessions.mount || umount --lazy /media/sessions")
    wait_for("the session goes on", visitor.visit)
    for _ in range(10):
        goes_on(visitor)
    bare = cluster.enter("php2", "mountpoint --quiet /media/sessions || touch /media/sessions/x 2>&1 || true")
    assert "Operation not permitted" in bare or bare == ""
    whole_again(cluster)
    assert "fuse.glusterfs" in cluster.enter("php2", "findmnt --noheadings --output FSTYPE /media/sessions")


def test_ended_workers_do_not_take_the_mount_with_them(cluster: Cluster) -> None:
    """A signal to a process that asks for a lock can stop a mount (gluster/glusterfs#4371): not for good here."""
    visitor = used_session(cluster)
    session = visitor.cookie.partition("=")[2]
    holds = "sh -c 'touch /run/held; exec sleep 60'"
    cluster.enter("php1", f"systemd-run --quiet --unit hold --collect flock /media/sessions/sess_{session} {holds}")
    wait_for("the session is held", lambda: cluster.enter("php1", "find /run -maxdepth 1 -name held"))
    under_way = "ss --no-header --unix state established src '/run/php-cluster/site-*' | wc --lines"
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(request, visitor.url, {"Cookie": visitor.cookie}, 60) for _ in range(8)]
        wait_for("requests wait for the session", lambda: int(cluster.enter("php2", under_way)) >= 3)
        cluster.enter("php2", "pkill --signal QUIT --full 'php-fpm: pool site'")
        cluster.enter("php1", "systemctl stop hold; rm /run/held")
        answers = [answer.result().status for answer in waiting]
    assert answers.count(200) >= 3, answers
    for _ in range(4):
        goes_on(visitor)
    whole_again(cluster)


def test_a_brick_that_hangs_is_left_behind(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    stopped = cluster.enter("lb1", "pgrep --full '^/usr/sbin/glusterfsd '").strip()
    cluster.enter("lb1", f"kill -STOP {stopped}")
    said = "journalctl --boot --no-pager --unit php-cluster-sessions"
    address = cluster.address("lb1")
    for _ in range(20):
        goes_on(visitor)
    for node in ("php1", "php2"):
        assert f"the brick at {address}" in cluster.enter(node, said), "it was Gluster's own ping that noticed"
    cluster.enter("lb1", f"kill -CONT {stopped}")
    whole_again(cluster)
    goes_on(visitor)


def test_a_mount_that_hangs_is_made_again(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    stopped = cluster.enter("php2", CLIENTS)
    cluster.enter("php2", f"kill -STOP {stopped}")
    wait_for("the balancers have seen it", lambda: cluster.enter("php2", HEALTH) == "404")
    for _ in range(20):
        goes_on(visitor)
    wait_for(
        "another client has taken its place", lambda: cluster.enter("php2", f"{CLIENTS} || true") not in ("", stopped)
    )
    whole_again(cluster)
    goes_on(visitor)


TRUSTED_WITHIN_FIVE_LOOKS = """
for look in 1 2 3 4 5; do
    last=$(cat /run/php-cluster/mount-probed)
    while [[ $(cat /run/php-cluster/mount-probed) == "$last" ]]; do sleep 0.1; done
    [[ ! -e /run/php-cluster/mount-answered ]] || echo trusted
done
"""
MOUNTED = "findmnt --noheadings --output FSTYPE /media/sessions || true"


def test_a_mount_that_cannot_store_is_not_trusted_again(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    # In the place of the file that php2's mount is tried with.
    obstacle = "/media/sessions/.php-cluster-php2"
    try:
        cluster.enter("php1", f"mkdir {obstacle}")
        cluster.enter("php2", f"kill -KILL $({CLIENTS})")
        wait_for("php2 is out", lambda: nodes_that_answer_to(visitor) == {"php1"})
        wait_for("php2 has mounted again", lambda: "fuse.glusterfs" in cluster.enter("php2", MOUNTED))
        assert "trusted" not in cluster.enter("php2", TRUSTED_WITHIN_FIVE_LOOKS)
        assert nodes_that_answer_to(visitor) == {"php1"}
    finally:
        cluster.enter("php1", f"rmdir {obstacle}")
    wait_for("both nodes answer", lambda: nodes_that_answer(cluster) == {"php1", "php2"})
    whole_again(cluster)
    goes_on(visitor)
