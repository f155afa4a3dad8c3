"""The lock on a session, when machines and links fail while it is held or waited for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scripts.stack import StackError
from tests.release import RELEASE
from tests.stack.cluster import Cluster, Visitor, wait_for
from tests.stack.health import goes_on_without, used_session, whole_again

pytestmark = pytest.mark.usefixtures("restored")

START = "session_id($argv[1]); session_start();"
HOLDER = f"""
{START} $_SESSION['text'] = 'older'; session_write_close();
{START} touch("/run/holds-$argv[1]");
while (!file_exists('/run/go-on')) {{ usleep(20000); clearstatcache(); }}
$_SESSION['text'] = 'newer';
"""
WAITER = f"{START} echo $_SESSION['text'];"
SESSIONS = [f"trial-{number}" * 4 for number in range(1, 9)]


def goes_by_itself(cluster: Cluster, machine: str, name: str, code: str, *words: str) -> None:
    """Starts PHP code there as a service of that name, with the sessions of the site, and keeps what it says."""
    cluster.enter(machine, f"rm -f /run/{name}.said; cat >/run/{name}.php <<'CODE'\n<?php {code}\nCODE")
    settings = "-d php_cluster.lock_seconds=600 -d error_log= -d session.use_cookies=0"
    command = f"php -c /etc/php/{RELEASE.php}/fpm {settings} /run/{name}.php {' '.join(words)} >/run/{name}.said 2>&1"
    options = f"--quiet --collect --unit {name} --setenv=PHP_INI_SCAN_DIR=/etc/php/{RELEASE.php}/fpm/conf.d"
    cluster.enter(machine, f"systemd-run {options} bash -c '{command}'")


def said_by(cluster: Cluster, machine: str, name: str) -> str:
    return wait_for(f"{name} on {machine} is done", lambda: cluster.enter(machine, f"cat /run/{name}.said"))


def test_who_waits_for_a_session_reads_what_is_stored_meanwhile(cluster: Cluster) -> None:
    """Although one node alone has lost a brick, so that the other one knows of no copy that is out of date."""
    cluster.enter("php2", "rm -f /run/holds-* /run/go-on")
    for number, session in enumerate(SESSIONS):
        goes_by_itself(cluster, "php2", f"holder{number}", HOLDER, session)
    wait_for(
        "the sessions are held", lambda: cluster.enter("php2", f"ls {' '.join(f'/run/holds-{s}' for s in SESSIONS)}")
    )
    waiters = {f"waiter{number}": session for number, session in enumerate(SESSIONS)}
    for name, session in waiters.items():
        goes_by_itself(cluster, "php1", name, WAITER, session)
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
    goes_on_without(cluster, visitor, "php2")


BRICKS = (
    "timeout 5 ls /media/sessions >/dev/null && cat /media/sessions/.meta/graphs/active/sessions-client-[01]/private"
)
"""What the mount's client says of its connections to the bricks. Who asks nothing of them does not hear that one was
lost, and is told of the one before."""

LATE = HOLDER.replace("'older'", "'before'").replace("'newer'", "'late'")
TAKER = f"""
{START} $found = $_SESSION['text']; echo $found;
if (isset($argv[2])) {{ $_SESSION['text'] = $argv[2]; }}
"""


def has_both_bricks(cluster: Cluster) -> bool:
    try:
        return cluster.enter("php2", BRICKS).count("connected = 1") == 2
    except StackError:
        return False


def test_a_node_that_was_away_cannot_store_what_it_held(cluster: Cluster) -> None:
    """Its lock went to another node meanwhile; it hears of that only when it writes."""
    session = "late" * 6
    cluster.enter("php2", "rm -f /run/holds-* /run/go-on")
    goes_by_itself(cluster, "php2", "late", LATE, session)
    wait_for("php2 holds the session", lambda: cluster.enter("php2", f"ls /run/holds-{session}"))
    cluster.lab_command("cut", "php2")
    goes_by_itself(cluster, "php1", "taker", TAKER, session, "taken")
    assert said_by(cluster, "php1", "taker") == "before"
    cluster.lab_command("restore", "php2")
    # What the keeper has noted may be of before the cut.
    wait_for("php2 has both bricks again", lambda: has_both_bricks(cluster))
    cluster.enter("php2", "touch /run/go-on")
    # Its file is a bad one, or, for a moment, none: Gluster has not opened it anew, though both bricks are connected.
    said = said_by(cluster, "php2", "late")
    assert "refused on php2" in said, said
    whole_again(cluster)
    for node in ("php1", "php2"):
        goes_by_itself(cluster, node, "taker", TAKER, session)
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
