"""From Debian 12 to 13 under load, one machine at a time, and on the way a cluster of both releases; and updates."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.stack import StackError
from tests.faults import checker
from tests.faults.load import Load
from tests.faults.rig import PHP_NODES, Rig, configuration
from tests.release import RELEASE
from tests.stack.cluster import Cluster, standing, wait_for
from tests.stack.health import balancers, whole_again
from tests.stack.package_archive import offer_updates

# A box that has other work took up to 16 minutes.
pytestmark = pytest.mark.timeout(1800)

LONGEST_WAIT_SECONDS = 3.0
"""Of a visitor, until he is answered."""


def upgrade(cluster: Cluster, *options: str) -> str:
    """What the script says."""
    done = cluster.run("scripts/upgrade", "--stack", cluster.name, *options)
    if done.returncode != 0:
        raise StackError(f"{done.stdout}\n{done.stderr}")
    return done.stdout


def releases(cluster: Cluster) -> dict[str, str]:
    """Machine to the number of its release."""
    names = cluster.outputs()["machines"]
    return {name: cluster.enter(name, ". /etc/os-release; echo $VERSION_ID").strip() for name in names}


def unchanged(cluster: Cluster) -> None:
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)


@contextlib.contextmanager
def visitors(rig: Rig) -> Iterator[Load]:
    """Who store updates in their sessions for as long as the block lasts."""
    load = Load(rig.address, "upgrade")
    load.start()
    try:
        yield load
    finally:
        load.stop()


def none_lost_nobody_waited(load: Load) -> None:
    load.read_back(PHP_NODES, 300)
    verdict = checker.judge(load.history)
    assert verdict.acknowledged > 100
    assert verdict.violations == {}
    attempts = load.history.attempts
    assert checker.service(attempts, 0, attempts[-1].end).longest_wait < LONGEST_WAIT_SECONDS


def test_nobody_waits_and_no_update_is_lost(fresh_backend: Path, request: pytest.FixtureRequest) -> None:
    cluster = Cluster(fresh_backend, configuration("safe") | {"debian": "12"})
    with standing(cluster, request.session):
        cluster.configure({"debian": "13"})
        refused = cluster.pulumi("up", "--yes", "--skip-preview", "--stack", cluster.name, check=False)
        assert refused.returncode != 0 and "scripts/upgrade replaces them one at a time" in refused.stdout
        assert upgrade(cluster, "--dry-run").count("replaced by Debian 13") == 4
        assert set(releases(cluster).values()) == {"12"}

        rig = Rig(cluster)
        with visitors(rig) as load:
            active, spare = balancers(cluster)
            upgrade(cluster, "--one")
            upgrade(cluster, "--one")
            assert releases(cluster) == {active: "12", spare: "13", "php1": "12", "php2": "13"}
            unchanged(cluster)
            # The second start of the daemon is the one at which 10 and 11 may reject each other.
            cluster.enter(spare, "systemctl restart glusterd")
            wait_for("all is well", lambda: cluster.status("--seconds", "20").returncode == 0)
            upgrade(cluster)
        whole_again(cluster)
        unchanged(cluster)
        assert set(releases(cluster).values()) == {"13"}
        assert "110000" in cluster.enter("lb1", "gluster --mode=script volume get all cluster.op-version")
        none_lost_nobody_waited(load)

        cluster.configure({"debian": "12"})
        with pytest.raises(StackError, match="there is no way back"):
            upgrade(cluster)


@pytest.mark.skipif(
    os.environ.get("LONG_TESTS") != "yes", reason="takes ten minutes: LONG_TESTS=yes scripts/test stack"
)
def test_updates_reach_one_machine_after_the_other(fresh_backend: Path, request: pytest.FixtureRequest) -> None:
    cluster = Cluster(fresh_backend, configuration("safe"))
    with standing(cluster, request.session):
        names = cluster.outputs()["machines"]
        for name in names:
            offer_updates(cluster, name)
        told = upgrade(cluster, "--dry-run")
        for name in names:
            assert re.search(rf"^{name}: Debian {RELEASE.number}: [1-9]\d* updates, ", told, re.MULTILINE)
        rig = Rig(cluster)
        with visitors(rig) as load:
            upgrade(cluster)
        whole_again(cluster)
        unchanged(cluster)
        none_lost_nobody_waited(load)
        for name, package in {
            "lb1": "glusterfs-server",
            "lb2": "haproxy",
            "php1": "nginx-light",
            "php2": f"php{RELEASE.php}-fpm",
        }.items():
            assert cluster.enter(name, f"dpkg-query --show {package}").strip().endswith("+newer"), package
        told = upgrade(cluster, "--dry-run")
        # What ran before would still be the old program.
        assert told.count("0 updates, 0 of them security") == len(names) and "restart" not in told
