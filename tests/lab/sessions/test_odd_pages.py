"""Pages that come to their session in ways of their own: they get what they get on one server with local files."""

import http.client
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Image
from tests.lab.sessions.server import COUNTING, SAFE, WORKERS, Server, serving

COUNT = "$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; echo $_SESSION['n'];"
# Keeps its sessions beside PHP's store, as one with a database does.
ELSEWHERE = (
    'class Own extends SessionHandler { function place($id) { return __DIR__ . "/own-$id"; } '
    "function read($id): string|false { return (string) @file_get_contents($this->place($id)); } "
    "function write($id, $data): bool { return file_put_contents($this->place($id), $data) !== false; } "
    "function destroy($id): bool { return unlink($this->place($id)); } %s } session_set_save_handler(new Own()); "
    "session_start(); "
)

ODD = {
    "abort.php": "echo ignore_user_abort();",
    "caught.php": "session_start(); $_SESSION['n'] = 1000; $_SESSION['f'] = fn () => 1; "
    "try { session_write_close(); } catch (Exception) { } echo 'promised';",
    "numbers.php": "session_start(); $_SESSION[5] = 1; echo 'ok';",
    "endless.php": f"ini_set('session.gc_maxlifetime', PHP_INT_MAX); session_start(); {COUNT}",
    "idle.php": "class Own extends SessionHandler { function read($id): string|false { parent::read($id); "
    "parent::destroy($id); return ''; } } session_set_save_handler(new Own()); session_start(); echo count($_SESSION);",
    "elsewhere.php": ELSEWHERE.replace("%s", "") + COUNT,
    "elsewhere_logout.php": ELSEWHERE.replace("%s", "") + "session_destroy(); echo 'out';",
    "elsewhere_closed.php": ELSEWHERE.replace("%s", "function close(): bool { return true; }") + COUNT,
    "not_opened.php": "class Own extends SessionHandler { function open($path, $name): bool { "
    "parent::open($path, $name); return false; } } session_set_save_handler(new Own()); "
    "echo @session_start() ? 'yes' : 'no';",
    "same_id.php": "class Own extends SessionHandler { function create_sid(): string { return 'always-the-same'; } } "
    f"session_set_save_handler(new Own()); session_start(); {COUNT} session_regenerate_id(true);",
    "twice_destroyed.php": "$own = new SessionHandler(); session_set_save_handler($own); session_start(); "
    f"$old = session_id(); session_regenerate_id(true); $own->destroy($old); {COUNT}",
    "no_cookies.php": "ini_set('session.use_cookies', 0); ini_set('session.use_only_cookies', 0); "
    f"session_id('a-program-without-cookies'); session_start(); {COUNT}",
    "flushed_and_finished.php": f"session_start(); {COUNT} ob_flush(); flush(); fastcgi_finish_request();",
    "callback_and_finished.php": "ob_start(function ($text) { $_SESSION['n'] = 7; return $text; }); session_start(); "
    "echo 'x'; fastcgi_finish_request(); session_abort();",
    "nothing_and_finished.php": "session_start(); $_SESSION = null; echo 'left alone'; fastcgi_finish_request();",
    # The visitor has been told the id when the session is opened again, which sends no other one.
    "opened_twice.php": "session_start(['read_and_close' => true]); ini_set('session.use_cookies', 0); "
    f"session_start(); {COUNT}",
    "again.php": "session_start(); session_regenerate_id(true); session_destroy(); session_start(); "
    "$_SESSION['n'] = 5; echo 'promised';",
    # Ends another visitor's session, then says that its own is well, before it breaks.
    "other.php": "$own = new SessionHandler(); session_set_save_handler($own); session_start(); "
    "$_SESSION['n'] = 1000; echo $own->destroy($_GET['other']) ? 'promised' : 'failed'; ob_flush(); flush(); "
    "file_put_contents(ini_get('session.save_path') . '/sess_' . session_id(), 'garbage');",
    # The session is opened when the answer's beginning has left, which says how long it is; its end has time to arrive.
    "reopened.php": "ini_set('session.use_cookies', 0); session_cache_limiter(''); header('Content-Length: 8'); "
    "header('X-Accel-Buffering: no'); echo 'begin'; "
    "ob_flush(); flush(); session_id('opened-after-the-beginning'); session_start(); "
    "$_SESSION['t'] = str_repeat('x', (int) $_GET['n']); echo 'end'; ob_flush(); flush(); usleep(300000);",
    "too_large.php": "$_SESSION['t'] = str_repeat('x', 17 << 20); "
    "echo session_status() === PHP_SESSION_ACTIVE ? 'promised' : 'no session';",
}
PAGES = COUNTING | {name: f"<?php {code}" for name, code in ODD.items()}


@pytest.fixture(scope="module")
def server(image: Image, extension: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(image, extension, tmp_path_factory.mktemp("odd"), SAFE, site=PAGES) as one:
        yield one


@pytest.mark.parametrize(
    ("pages", "answers"),
    [
        # Numbers are no names of variables: PHP says so, and passes over them.
        (["numbers.php"], ["ok"]),
        (["count.php", "idle.php", "look.php"], ["1", "0", "nothing"]),
        (["elsewhere.php", "elsewhere.php", "elsewhere_logout.php", "elsewhere.php"], ["1", "2", "out", "1"]),
        (["elsewhere_closed.php", "elsewhere_closed.php"], ["1", "2"]),
        (["not_opened.php"], ["no"]),
        (["same_id.php", "same_id.php", "same_id.php"], ["1", "2", "3"]),
        (["count.php", "twice_destroyed.php", "look.php"], ["1", "2", "2"]),
        (["no_cookies.php", "no_cookies.php"], ["1", "2"]),
        (["flushed_and_finished.php", "look.php"], ["1", "1"]),
        (["callback_and_finished.php", "look.php"], ["x", "7"]),
        (["count.php", "nothing_and_finished.php", "look.php"], ["1", "left alone", "1"]),
        (["opened_twice.php", "look.php"], ["1", "1"]),
        (["count.php", "again.php", "look.php"], ["1", "promised", "5"]),
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


def test_the_end_of_another_session_does_not_settle_the_open_one(server: Server) -> None:
    _, session = server.get("count.php")
    _, other = server.get("count.php")
    answer, _ = server.get(f"other.php?other={other}", session)
    assert answer.status == 503 and "promised" not in answer.text
    answer, fresh = server.get("look.php", other)
    assert answer.text == "nothing" and fresh != other


def whole(server: Server, page: str) -> bytes | None:
    """What a page answers; None when that is broken off, which nginx makes a 502 of where nothing has left."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc)
    connection.request("GET", f"/{page}")
    try:
        answer = connection.getresponse()
        text = answer.read()
    except (http.client.IncompleteRead, ConnectionError):
        return None
    return text if answer.status == 200 else None


def test_an_answer_whose_beginning_has_left_does_not_end_well(server: Server) -> None:
    assert whole(server, "reopened.php?n=10") == b"beginend"
    assert whole(server, "reopened.php?n=17825792") is None


def test_a_session_without_an_end_lives_for_years(server: Server) -> None:
    answer, session = server.get("endless.php")
    assert answer.text == "1"
    assert server.file(session).stat().st_mtime > time.time() + 9 * 365 * 86400


@pytest.mark.parametrize("length", [1, 21, 250, 251, 256, 257, 4000])
def test_a_made_up_id_of_any_length_is_nobodys(server: Server, length: int) -> None:
    answer, fresh = server.get("count.php", "a" * length)
    assert (answer.status, answer.text) == (200, "1") and fresh != "a" * length


def test_a_request_leaves_nothing_to_the_next_one(server: Server) -> None:
    assert {server.get("abort.php")[0].text for _ in range(5 * WORKERS)} == {"0"}


def test_an_answer_that_php_begins_before_the_session_does_not_end_well(
    image: Image, extension: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / ".user.ini").write_text(
        "session.auto_start = 1\nsession.cache_limiter =\noutput_buffering = 0\nmax_input_vars = 1\n"
        "display_errors = 1\ndisplay_startup_errors = 1\n"
    )
    with serving(image, extension, tmp_path, SAFE, site=PAGES) as server:
        assert (whole(server, "plain.php?a=1&b=2") or b"").endswith(b"no session")
        # PHP 8.4 opens none whose cookie cannot be sent any more.
        answer = whole(server, "too_large.php?a=1&b=2")
        assert answer is None or answer.endswith(b"no session"), answer
