"""Two machines or disks away at once: what docs/sessions.md says of each pair. Nothing is lost under any of them."""

import pytest

from tests.stack.cluster import FILL_DISK, FREE_DISK, Cluster, Visitor, request, wait_for
from tests.stack.health import balancers, goes_on, used_session, whole_again

pytestmark = pytest.mark.usefixtures("restored")


def is_refused(visitor: Visitor) -> bool:
    """An error that says when to come again, and no new session in place of the old one."""
    answer = request(visitor.url, {"Accept": "application/json", "Cookie": visitor.cookie}, 60)
    if answer.status != 503:
        return False
    assert answer.headers["Retry-After"]
    assert "Set-Cookie" not in answer.headers
    return True


def test_a_balancer_and_a_node_without_a_brick(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    active, spare = balancers(cluster)
    for machine in (active, "php2"):
        cluster.lab_command("power-off", machine)
    goes_on(visitor)
    assert cluster.owners_of_floating_ip() == [spare]
    for machine in (active, "php2"):
        cluster.lab_command("restore", machine)
    whole_again(cluster)
    goes_on(visitor)


def test_a_balancer_and_the_arbiter(cluster: Cluster) -> None:
    """One brick of three is left: it may be the one that is behind, so nobody is served from it."""
    visitor, newcomer = used_session(cluster), cluster.visitor()
    _, spare = balancers(cluster)
    for machine in ("php1", spare):
        cluster.lab_command("cut", machine)
    wait_for("sessions are refused", lambda: is_refused(visitor))
    wait_for("no new one is given out", lambda: is_refused(newcomer))
    cluster.lab_command("restore", "php1")
    goes_on(visitor)
    cluster.lab_command("restore", spare)
    whole_again(cluster)
    goes_on(visitor)


def test_both_balancers(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    active, spare = balancers(cluster)
    for machine in (active, spare):
        cluster.lab_command("power-off", machine)
    cluster.lab_command("restore", active)
    goes_on(visitor)
    cluster.lab_command("restore", spare)
    whole_again(cluster)
    goes_on(visitor)


def test_a_balancer_and_then_the_other_before_the_first_is_healed(cluster: Cluster) -> None:
    """The arbiter knows that the one which is back is behind, though there is no other copy to ask."""
    active, spare = balancers(cluster)
    visitor = used_session(cluster)
    cluster.lab_command("cut", spare)
    goes_on(visitor)
    cluster.lab_command("power-off", active)
    cluster.lab_command("restore", spare)
    number = ("lb1", "lb2").index(spare)
    brick = f"/media/sessions/.meta/graphs/active/sessions-client-{number}/private"
    wait_for("the first brick is back", lambda: "connected = 1" in cluster.enter("php2", f"cat {brick}"))
    for _ in range(20):
        assert is_refused(visitor)
    cluster.lab_command("restore", active)
    whole_again(cluster)
    goes_on(visitor)


def test_both_disks_full(cluster: Cluster) -> None:
    """Sessions that need no more room go on, new ones are refused."""
    visitor, newcomer = used_session(cluster), cluster.visitor()
    try:
        for balancer in ("lb1", "lb2"):
            cluster.enter(balancer, FILL_DISK)
        wait_for("new sessions are refused", lambda: is_refused(newcomer))
        goes_on(visitor)
    finally:
        for balancer in ("lb1", "lb2"):
            cluster.enter(balancer, FREE_DISK)
    wait_for("new sessions are given out", newcomer.visit)
    whole_again(cluster)
    goes_on(visitor)
