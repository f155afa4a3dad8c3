"""The lock on a session, when machines and links fail while it is held or waited for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.cluster import Cluster, Visitor, wait_for
from tests.stack.health import goes_on, used_session, whole_again

pytestmark = pytest.mark.usefixtures("restored")

HOLDER = """
require '/usr/lib/php-cluster/session_file.php';
foreach (range(1, 8) as $n) {
    $held[] = PhpCluster\\SessionFile::lock('/media/sessions', str_repeat("trial-$n-", 4), true);
}
foreach ($held as $session) { $session->read(); $session->write('older'); }
touch('/run/holds');
while (!file_exists('/run/go-on')) { usleep(20000); clearstatcache(); }
foreach ($held as $session) { $session->write('newer'); $session->release(); }
"""
WAITER = """
require '/usr/lib/php-cluster/session_file.php';
echo PhpCluster\\SessionFile::lock('/media/sessions', str_repeat("trial-$argv[1]-", 4), false)->read();
"""


def goes_by_itself(cluster: Cluster, machine: str, name: str, code: str, *words: str) -> None:
    """Starts PHP code there as a service of that name, which leaves what it says in /run/NAME.said."""
    cluster.enter(machine, f"rm -f /run/{name}.said; cat >/run/{name}.php <<'CODE'\n<?php {code}\nCODE")
    command = f"php -d php_cluster.lock_seconds=600 /run/{name}.php {' '.join(words)} >/run/{name}.said 2>&1"
    cluster.enter(machine, f"systemd-run --quiet --collect --unit {name} bash -c '{command}'")


def said_by(cluster: Cluster, machine: str, name: str) -> str:
    return wait_for(f"{name} on {machine} is done", lambda: cluster.enter(machine, f"cat /run/{name}.said"))


def test_who_waits_for_a_session_reads_what_is_stored_meanwhile(cluster: Cluster) -> None:
    """Although one node alone has lost a brick, so that the other one knows of no copy that is out of date."""
    cluster.enter("php2", "rm -f /run/holds /run/go-on")
    goes_by_itself(cluster, "php2", "holder", HOLDER)
    wait_for("the sessions are held", lambda: cluster.enter("php2", "ls /run/holds"))
    waiters = [f"waiter{n}" for n in range(1, 9)]
    for number, name in enumerate(waiters, 1):
        goes_by_itself(cluster, "php1", name, WAITER, str(number))
    # Not those that php1's brick has open for the holder.
    opened = "ls -lH /proc/[0-9]*/fd 2>/dev/null | grep --count ' /media/.*/sess_trial-' || true"
    wait_for("all of them are waited for", lambda: int(cluster.enter("php1", opened)) == 8)
    for way in (("php2", "lb1"), ("lb1", "php2")):
        cluster.lab_command("drop", *way)
    cluster.enter("php2", "touch /run/go-on")
    for name in waiters:
        assert said_by(cluster, "php1", name) == "newer"
    for balancer in ("php2", "lb1"):
        cluster.lab_command("restore", balancer)
    whole_again(cluster)


def test_the_lock_of_a_dead_node_is_free_again(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    session = visitor.cookie.partition("=")[2]
    cluster.enter("php2", f"systemd-run --quiet --collect flock /media/sessions/sess_{session} sleep 600")
    asked = f"flock --nonblock --conflict-exit-code 9 /media/sessions/sess_{session} true || echo $?"
    wait_for("php2 holds the session", lambda: cluster.enter("php1", asked).strip() == "9")
    cluster.lab_command("power-off", "php2")
    goes_on(visitor)
    cluster.lab_command("restore", "php2")
    whole_again(cluster)
    goes_on(visitor)


LATE = """
require '/usr/lib/php-cluster/session_file.php';
$session = PhpCluster\\SessionFile::lock('/media/sessions', str_repeat('late-', 6), true);
$session->read();
$session->write('before');
touch('/run/holds');
while (!file_exists('/run/go-on')) { usleep(20000); clearstatcache(); }
try {
    $session->write('late');
    echo 'stored';
} catch (PhpCluster\\SessionUnavailable $why) {
    echo 'refused: ', $why->getMessage();
}
"""
TAKER = """
require '/usr/lib/php-cluster/session_file.php';
$session = PhpCluster\\SessionFile::lock('/media/sessions', str_repeat('late-', 6), false);
$found = $session->read();
if (isset($argv[1])) { $session->write($argv[1]); }
$session->release();
echo $found;
"""


def test_a_node_that_was_away_cannot_store_what_it_held(cluster: Cluster) -> None:
    """Its lock went to another node meanwhile; it hears of that only when it writes."""
    cluster.enter("php2", "rm -f /run/holds /run/go-on")
    goes_by_itself(cluster, "php2", "late", LATE)
    wait_for("php2 holds the session", lambda: cluster.enter("php2", "ls /run/holds"))
    cluster.lab_command("cut", "php2")
    goes_by_itself(cluster, "php1", "taker", TAKER, "taken")
    assert said_by(cluster, "php1", "taker") == "before"
    cluster.lab_command("restore", "php2")
    wait_for("php2's mount works again", lambda: cluster.enter("php2", "ls /run/php-cluster/mount-answered"))
    cluster.enter("php2", "touch /run/go-on")
    said = said_by(cluster, "php2", "late")
    assert said.startswith("refused: ") and "not connected" not in said, said
    whole_again(cluster)
    for node in ("php1", "php2"):
        goes_by_itself(cluster, node, "taker", TAKER)
        assert said_by(cluster, node, "taker") == "taken"


WINDOWS = 6
OPTION = "gluster --mode=script volume set sessions performance.client-io-threads"
GRAPH = "readlink /media/sessions/.meta/graphs/active"
"""Names what a node's mount has between itself and the bricks."""


def test_clients_of_one_session_take_turns_while_the_mounts_are_made_anew_inside(cluster: Cluster) -> None:
    """An option that gives each mount another translator once had the kernel answer from its pages."""
    session = used_session(cluster)
    windows = [Visitor(session.url, session.cookie) for _ in range(WINDOWS)]
    enough = threading.Event()

    def use(window: Visitor) -> None:
        while not enough.is_set():
            window.visit()

    def graphs() -> dict[str, str]:
        return {node: cluster.enter(node, GRAPH) for node in ("php1", "php2")}

    def change(value: str) -> None:
        before = graphs()
        cluster.ssh("lb1", f"{OPTION} {value}")
        wait_for("both nodes have the option", lambda: not before.items() & graphs().items())

    def answers() -> int:
        return sum(len(window.seen) for window in windows)

    def answered(number: int) -> None:
        goal = answers() + number
        wait_for("the clients are answered", lambda: answers() >= goal or any(one.done() for one in used))

    with ThreadPoolExecutor(WINDOWS) as pool:
        used = [pool.submit(use, window) for window in windows]
        try:
            answered(50)
            for value in ("on", "off"):
                change(value)
                answered(200)
        finally:
            enough.set()
            cluster.ssh("lb1", f"{OPTION} off")
    for one in used:
        one.result()
    numbers = sorted(answer["counter"] for window in windows for answer in window.seen)
    assert numbers == list(range(session.count + 1, session.count + 1 + len(numbers)))
    assert {answer["node"] for window in windows for answer in window.seen} == {"php1", "php2"}
