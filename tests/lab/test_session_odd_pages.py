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
    "caught.php": "session_start(); $_SESSION['n'] = 1000; $_SESSION['f'] = fn () => 1; "
    "try { session_write_close(); } catch (Exception) { } echo 'promised';",
    "numbers.php": "session_start(); $_SESSION[5] = 1; echo 'ok';",
    "endless.php": f"ini_set('session.gc_maxlifetime', PHP_INT_MAX); session_start(); {COUNT}",
}


@pytest.fixture(scope="module")
def server(image: Image, extension: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(image, extension, tmp_path_factory.mktemp("odd"), SAFE, site=PAGES) as one:
        yield one


@pytest.mark.parametrize(
    ("pages", "answers"),
    [
        # Numbers are no names of variables: PHP says so, and passes over them.
        (["numbers.php"], ["ok"]),
    ],
    ids=lambda value: value[0] if value[0].endswith(".php") else "",
)
def test_a_page_is_answered_as_on_one_server(server: Server, pages: list[str], answers: list[str]) -> None:
    session: str | None = None
    for page, expected in zip(pages, answers, strict=True):
        answer, session = server.get(page, session)
        assert (answer.status, answer.text) == (200, expected)


def test_what_an_exception_has_kept_from_being_encoded_is_not_stored(server: Server) -> None:
    _, session = server.get("count.php")
    answer, _ = server.get("caught.php", session)
    assert answer.status == 503 and "promised" not in answer.text
    assert server.get("look.php", session)[0].text == "1"


def test_a_session_without_an_end_lives_for_years(server: Server) -> None:
    answer, session = server.get("endless.php")
    assert answer.text == "1"
    assert server.file(session).stat().st_mtime > time.time() + 9 * 365 * 86400


def test_a_request_leaves_nothing_to_the_next_one(server: Server) -> None:
    assert {server.get("abort.php")[0].text for _ in range(5 * WORKERS)} == {"0"}
