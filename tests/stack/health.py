"""What it means that a cluster is whole, and that a visitor's session goes on."""

from tests.stack.cluster import NOTED_BY_ARBITER, Cluster, Visitor, wait_for

CLIENTS = "pgrep --full '^/usr/sbin/glusterfs .*--process-name fuse '"
"""Finds the mount's client on a PHP node."""


def whole_again(cluster: Cluster) -> None:
    """Waits until every part is in service: one owner of the address, nothing to heal, all nodes balanced."""
    wait_for("the floating IP has one owner", lambda: len(cluster.owners_of_floating_ip()) == 1, 180)
    wait_for("all bricks are online", lambda: bricks_online(cluster) == 2, 180)
    wait_for("nothing is left to heal", lambda: pending_heals(cluster) == 0, 180)
    wait_for("the arbiter takes no brick for outdated", lambda: outdated_for_arbiter(cluster) == "", 180)
    wait_for("both nodes answer", lambda: nodes_that_answer(cluster) == {"php1", "php2"}, 180)


def bricks_online(cluster: Cluster) -> int:
    detail = cluster.enter("lb1", "gluster --mode=script volume status sessions detail")
    return sum(line.split()[-1] == "Y" for line in detail.splitlines() if line.startswith("Online"))


def pending_heals(cluster: Cluster) -> int:
    summary = cluster.enter("lb1", "gluster --mode=script volume heal sessions info")
    counts = [line.split(":")[1].strip() for line in summary.splitlines() if line.startswith("Number of entries")]
    assert len(counts) == 2 and all(count.isdigit() for count in counts), summary
    return sum(map(int, counts))


def outdated_for_arbiter(cluster: Cluster) -> str:
    """What the arbiter has noted of bricks that lack something; empty: nothing."""
    return cluster.enter("php1", NOTED_BY_ARBITER)


def nodes_that_answer(cluster: Cluster) -> set[str]:
    """To a new visitor."""
    return nodes_that_answer_to(cluster.visitor())


def nodes_that_answer_to(visitor: Visitor) -> set[str]:
    return {visitor.visit()["node"] for _ in range(4)}


def balancers(cluster: Cluster) -> tuple[str, str]:
    """The active one, and the spare one."""
    [active] = cluster.owners_of_floating_ip()
    return active, "lb2" if active == "lb1" else "lb1"


def goes_on(visitor: Visitor) -> None:
    """The next answered request counts on from the last acknowledged one."""
    before = visitor.count
    wait_for("the session answers", visitor.visit)
    # An update whose answer was lost on the way may have been stored: more is right, less is a loss.
    assert visitor.count > before


def goes_on_without(cluster: Cluster, visitor: Visitor, machine: str) -> None:
    """The session answers while a machine has no power, and when it is back and healed."""
    cluster.lab_command("power-off", machine)
    goes_on(visitor)
    cluster.lab_command("restore", machine)
    whole_again(cluster)
    goes_on(visitor)


def used_session(cluster: Cluster) -> Visitor:
    visitor = cluster.visitor()
    for _ in range(5):
        visitor.visit()
    return visitor
