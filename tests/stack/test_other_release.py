"""The release of Debian that the other tests do not run on; `DEBIAN=12 make stack` runs them all on that one."""

from pathlib import Path

import pytest

from components.plan.debian import RELEASES
from tests.release import RELEASE
from tests.stack.cluster import Cluster, standing
from tests.stack.health import balancers, goes_on, goes_on_without, used_session, whole_again

[OTHER] = [release for release in RELEASES.values() if release is not RELEASE]


def test_sessions_go_on(fresh_backend: Path, request: pytest.FixtureRequest) -> None:
    cluster = Cluster(fresh_backend, {"phpNodes": "2", "debian": str(OTHER.number)})
    with standing(cluster, request.session):
        visitor = used_session(cluster)
        cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
        for machine in ("lb1", "php1"):
            assert f"VERSION_CODENAME={OTHER.suite}" in cluster.enter(machine, "cat /etc/os-release")
        assert f"PHP {OTHER.php}." in cluster.enter("php2", "php --version")
        assert f"glusterfs {OTHER.gluster}." in cluster.enter("lb2", "gluster --version")

        active, _ = balancers(cluster)
        goes_on_without(cluster, visitor, active)

        # As a stack of the time when this release was the default, which never set it.
        cluster.pulumi("config", "rm", "debian", "--stack", cluster.name)
        cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
        cluster.lab_command("lose", active)
        goes_on(visitor)
        cluster.up()
        whole_again(cluster)
        goes_on(visitor)
        assert f"VERSION_CODENAME={OTHER.suite}" in cluster.enter(active, "cat /etc/os-release")
        # The release that it was made with is the one that it keeps until scripts/upgrade is run.
        cluster.configure({"debian": str(RELEASE.number)})
        refused = cluster.pulumi("preview", "--stack", cluster.name, check=False)
        assert f"the machines run Debian {OTHER.number}" in refused.stdout + refused.stderr
