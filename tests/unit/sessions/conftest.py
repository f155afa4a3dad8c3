"""What tests of the session service share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sessions.log_on_disk import short_folder


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Path]:
    """A folder for the services' sockets."""
    with short_folder(tmp_path) as folder:
        yield folder
