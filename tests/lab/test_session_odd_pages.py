"""Pages that come to their session in ways of their own: they get what they get on one server with local files."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Image
from tests.lab.test_session_record import SAFE, SITE, WORKERS, Server, serving

COUNT = "$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; echo $_SESSION['n'];"
PAGES = SITE | {
    "abort.php": "echo ignore_user_abort();",
    "endless.php": f"ini_set('session.gc_maxlifetime', PHP_INT_MAX); session_start(); {COUNT}",
}


@pytest.fixture(scope="module")
def server(image: Image, extension: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(image, extension, tmp_path_factory.mktemp("odd"), SAFE, site=PAGES) as one:
        yield one


def test_a_session_without_an_end_lives_for_years(server: Server) -> None:
    answer, session = server.get("endless.php")
    assert answer.text == "1"
    assert server.file(session).stat().st_mtime > time.time() + 9 * 365 * 86400


def test_a_request_leaves_nothing_to_the_next_one(server: Server) -> None:
    assert {server.get("abort.php")[0].text for _ in range(5 * WORKERS)} == {"0"}
