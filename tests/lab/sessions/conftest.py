"""What tests of the session service share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Image
from tests.lab.sessions.log_on_disk import Folder, Programs, short_folder


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Path]:
    """A folder for the services' sockets."""
    with short_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A log that was just begun."""
    return Folder(tmp_path / "volume")


@pytest.fixture(scope="session")
def programs(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """What makes the service."""
    return Programs(image, tmp_path_factory.mktemp("programs"))
