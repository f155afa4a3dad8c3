"""Machines of others go from Debian 12 to 13 by apt, one at a time and under load, in several runs."""

import os
from pathlib import Path

import pytest

from components.plan.debian import RELEASES
from tests.faults.rig import Rig, configuration
from tests.stack.cluster import Cluster
from tests.stack.health import balancers, whole_again
from tests.stack.own_machines import own_machines
from tests.stack.test_upgrade import none_lost_nobody_waited, releases, unchanged, upgrade, visitors

pytestmark = [
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        os.environ.get("LONG_TESTS") != "yes", reason="takes half an hour: LONG_TESTS=yes scripts/test stack"
    ),
]

NAMES = {1: "lb1", 2: "lb2", 3: "php1", 4: "php2"}
STACK = "test-in-place"


def test_nobody_waits_and_no_update_is_lost(tmp_path: Path) -> None:
    with own_machines(STACK, len(NAMES), dict.fromkeys(NAMES, RELEASES[12]), NAMES) as machines:
        settings = machines.config((1, 2), (3, 4), tmp_path)
        del settings["floatingIp6"]
        kept = {key: value for key, value in configuration("safe").items() if key != "phpNodes"}
        cluster = Cluster(tmp_path / "state", {**kept, **settings}, STACK)
        try:
            cluster.up()
            cluster.configure({"debian": "13"})
            # Before the script has begun, nothing is changed by it.
            unchanged(cluster)
            assert upgrade(cluster, "--dry-run").count("upgraded in place to Debian 13") == len(NAMES)
            rig = Rig(cluster)
            with visitors(rig) as load:
                active, spare = balancers(cluster)
                upgrade(cluster, "--one")
                upgrade(cluster, "--one")
                assert releases(cluster) == {active: "12", spare: "13", "php1": "12", "php2": "13"}
                unchanged(cluster)
                upgrade(cluster)
            whole_again(cluster)
            unchanged(cluster)
            assert set(releases(cluster).values()) == {"13"}
            assert "110000" in cluster.enter("lb2", "gluster --mode=script volume get all cluster.op-version")
            assert "PHP 8.4." in cluster.enter("php1", "php --version")
            none_lost_nobody_waited(load)
        finally:
            cluster.remove()
