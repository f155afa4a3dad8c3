"""One cluster for the tests that leave it as they found it; journals are kept when something fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.cluster import Cluster, standing
from tests.stack.health import whole_again


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The default cluster: two PHP nodes, profile safe; visitors come by IPv6, too."""
    stack = Cluster(tmp_path_factory.mktemp("state"), {"phpNodes": "2", "floatingIp6": "auto"})
    with standing(stack, request.session):
        yield stack


@pytest.fixture
def restored(cluster: Cluster) -> Iterator[None]:
    """What a failing test broke must not fail the next ones too."""
    yield
    for machine in cluster.outputs()["machines"]:
        cluster.lab_command("restore", machine)
    whole_again(cluster)


@pytest.fixture
def fresh_backend(tmp_path: Path) -> Path:
    """A backend for a stack that a test makes and removes itself."""
    return tmp_path / "state"
