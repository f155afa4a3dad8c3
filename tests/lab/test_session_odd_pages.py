"""Pages that come to their session in ways of their own: they get what they get on one server with local files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Image
from tests.lab.test_session_record import SAFE, SITE, WORKERS, Server, serving

PAGES = SITE | {
    "abort.php": "echo ignore_user_abort();",
}


@pytest.fixture(scope="module")
def server(image: Image, extension: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(image, extension, tmp_path_factory.mktemp("odd"), SAFE, site=PAGES) as one:
        yield one


def test_a_request_leaves_nothing_to_the_next_one(server: Server) -> None:
    assert {server.get("abort.php")[0].text for _ in range(5 * WORKERS)} == {"0"}
