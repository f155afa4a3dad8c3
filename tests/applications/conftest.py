"""One cluster for all applications, and one person who uses them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.substrates.local.identity import default_network
from tests.applications.applications import Person
from tests.applications.database import Database, planned_database, running_database
from tests.applications.site_folder import make_site, settings_for
from tests.stack.chromium import chrome
from tests.stack.cluster import Cluster, standing


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("applications")


@pytest.fixture(scope="session")
def deployed(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Database]]:
    """The applications on a cluster with two PHP nodes, and a database beside it."""
    (folder / "unpacked").mkdir()
    make_site(folder / "site", folder / "unpacked")
    stack = Cluster(folder / "state", {})
    database = planned_database(default_network(stack.name))
    settings = settings_for(folder / "site", database)
    words = [word for key, value in settings.plain.items() for word in ("--plaintext", f"{key}={value}")]
    words += [word for key, value in settings.secret.items() for word in ("--secret", f"{key}={value}")]
    # In one go: each run of the engine takes its second.
    stack.pulumi("config", "set-all", "--stack", stack.name, "--path", *words)
    with standing(stack, request.session), running_database(stack, database):
        yield stack, database


@pytest.fixture(scope="session")
def cluster(deployed: tuple[Cluster, Database]) -> Cluster:
    return deployed[0]


@pytest.fixture(scope="session")
def person(deployed: tuple[Cluster, Database], folder: Path) -> Iterator[Person]:
    stack, database = deployed
    with chrome() as browser:
        yield Person(browser, stack.outputs()["url"].rstrip("/") + "/", folder, database)
