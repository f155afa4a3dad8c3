"""The log of all sessions (`sessionStore: log`): who writes it, and what becomes of sessions when that one is gone."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.sessions.log import SOCKET
from scripts.machines import REFUSED
from tests.stack.cluster import SESSION_SERVICE_TELLS, Cluster, standing, wait_for
from tests.stack.health import CLIENTS, balancers, goes_on, goes_on_without, used_session, whole_again

SERVICE = "php-cluster-session-log.service"
NODES = ("php1", "php2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    settings, password = {"phpNodes": "2", "sessionStore": "log"}, {"RESTIC_PASSWORD": secrets.token_hex(8)}
    stack = Cluster(tmp_path_factory.mktemp("log"), settings, variables=password)
    with standing(stack, request.session):
        yield stack


def told(cluster: Cluster, node: str) -> dict[str, Any]:
    """What a node's service knows."""
    return dict(json.loads(cluster.enter(node, SESSION_SERVICE_TELLS)))


def writer(cluster: Cluster) -> str:
    """The node that writes."""

    def writing() -> str:
        # One that another has followed may not have seen it yet.
        [node] = [node for node in NODES if told(cluster, node)["writes"]]
        return node

    return wait_for("one node writes", writing)


def test_sessions_are_in_the_log_and_nowhere_else(cluster: Cluster) -> None:
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
    before = told(cluster, writer(cluster))["sessions"]
    visitors = [used_session(cluster) for _ in range(3)]
    assert {visitor.count for visitor in visitors} == {5}
    for node in NODES:
        wait_for("each node that can write has all sessions", lambda at=node: told(cluster, at)["stored"] == before + 3)  # type: ignore[misc]
    assert "sess_" not in cluster.enter("php1", "ls /media/sessions")
    assert "drwx------ www-data" in cluster.enter("php1", "stat --format='%A %U' /media/sessions/log")


def test_status_tells_who_writes(cluster: Cluster) -> None:
    def well() -> str:
        status = cluster.status()
        assert status.returncode == 0, status.stdout
        return status.stdout

    said = wait_for("all is well", well)
    assert f"log of sessions: written by {writer(cluster)}" in said, said


def test_one_session_is_exported_and_all_are_counted(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    stack = ("--stack", cluster.name)
    said = cluster.run("scripts/sessions", *stack).stdout
    stored = told(cluster, writer(cluster))["stored"]
    assert f"sessions: {stored} (" in said and f"{writer(cluster):<6} writes     {stored} sessions" in said, said
    name = hashlib.sha256(visitor.cookie.partition("=")[2].encode()).hexdigest()[:12]
    assert "counter|i:5;" in cluster.run("scripts/sessions", *stack, "export", name).stdout
    refused = cluster.run("scripts/sessions", *stack, "export", "0" * 12)
    assert (refused.returncode, refused.stderr) == (REFUSED, "no sessions have a hash that begins with 000000000000\n")


def empty(cluster: Cluster) -> None:
    """Begins the log anew, as after the loss of both bricks."""
    for node in NODES:
        cluster.enter(node, f"systemctl stop {SERVICE}")
    begin = (
        f"runuser --user www-data -- env {SESSION_SERVICE_TELLS.replace('.ask ' + SOCKET, '.begin /media/sessions')}"
    )
    cluster.enter("php1", f"rm -r /media/sessions/log; {begin}")
    for node in NODES:
        cluster.enter(node, f"systemctl start {SERVICE}")
    writer(cluster)


def test_sessions_are_saved_and_come_into_an_empty_log(cluster: Cluster, tmp_path: Path) -> None:
    visitors = [used_session(cluster) for _ in range(6)]
    words = ("--stack", cluster.name, str(tmp_path / "backups"))
    saved = cluster.run("scripts/backup", *words)
    stored = told(cluster, writer(cluster))["stored"]
    assert saved.returncode == 0 and f"  {stored} sessions," in saved.stdout, saved.stdout + saved.stderr
    empty(cluster)
    assert told(cluster, writer(cluster))["stored"] == 0
    done = cluster.run("scripts/restore", *words)
    assert f"{stored} sessions restored, 0 were there, 0 are newer here, 0 have expired" in done.stdout, done.stderr
    again = cluster.run("scripts/restore", *words)
    assert f"0 sessions restored, {stored} were there," in again.stdout, again.stderr
    for visitor in visitors:
        goes_on(visitor)
    assert {visitor.count for visitor in visitors} == {6}
    refused = cluster.run("scripts/restore", *words)
    assert (refused.returncode, "newer in the cluster than in the backup: 6 " in refused.stderr) == (REFUSED, True)


def test_requests_of_one_session_take_turns(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    before = visitor.count
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: visitor.visit(), range(24)))
    assert visitor.visit()["counter"] == before + 25


@pytest.mark.parametrize(
    "how", ["kill --kill-whom=all --signal=KILL", "restart", "kill --kill-whom=main --signal=STOP"]
)
def test_another_node_writes_when_the_writer_ends_or_stands_still(cluster: Cluster, how: str) -> None:
    visitor = used_session(cluster)
    cluster.enter(writer(cluster), f"systemctl {how} {SERVICE}")
    for _ in range(4):
        goes_on(visitor)
    writer(cluster)
    for node in NODES:
        wait_for("each service reaches the writer", lambda at=node: told(cluster, at)["linked"])  # type: ignore[misc]


def test_a_node_that_writes_may_lose_its_power(cluster: Cluster) -> None:
    goes_on_without(cluster, used_session(cluster), writer(cluster))


def test_bricks_may_come_and_go(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    for _ in range(2):
        active, _ = balancers(cluster)
        goes_on_without(cluster, visitor, active)


def test_a_mount_that_dies_takes_nothing_along(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    cluster.enter(writer(cluster), f"kill -KILL $({CLIENTS})")
    goes_on(visitor)
    whole_again(cluster)
    goes_on(visitor)


def test_nodes_come_and_leave(cluster: Cluster) -> None:
    visitor = used_session(cluster)
    cluster.configure({"phpNodes": "3"})
    cluster.up()
    wait_for(
        "the new node has all sessions", lambda: told(cluster, "php3")["stored"] == told(cluster, "php1")["stored"]
    )
    goes_on(visitor)
    cluster.configure({"phpNodes": "2"})
    cluster.up()
    goes_on(visitor)
