"""Random pages: the store answers and keeps what PHP's own module `files` does, where nothing is to be refused."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.php.node import php_ini
from tests.lab.conftest import Image
from tests.lab.sessions.server import LOCK_SECONDS, STORES, Server, serving, serving_from

PROGRAMS = 150
LOOK = "session_start(['read_and_close' => true]); echo json_encode($_SESSION);"
# Handlers as sites have them; $GLOBALS['d'] lives until PHP destroys what is left.
CLASSES = """
class Wrapped extends SessionHandler {
    function read($id): string|false { return parent::read($id); }
    function write($id, $data): bool { return parent::write($id, $data); }
}
class Sparing extends SessionHandler {
    private $was;
    function read($id): string|false { return $this->was = parent::read($id); }
    function write($id, $data): bool { return $data === $this->was || parent::write($id, $data); }
}
class Elsewhere extends SessionHandler {
    function place($id) { return __DIR__ . "/own-$id"; }
    function read($id): string|false { return (string) @file_get_contents($this->place($id)); }
    function write($id, $data): bool { return file_put_contents($this->place($id), $data) !== false; }
    function destroy($id): bool { return @unlink($this->place($id)) || true; }
}
class AtTheEnd {
    function __construct(private Closure $does) { }
    function __destruct() { ($this->does)(); }
}
"""
FIRST = [
    "",
    "session_set_save_handler(new SessionHandler());",
    "session_set_save_handler(new Wrapped());",
    "session_set_save_handler(new Wrapped(), false);",
    "session_set_save_handler(new Sparing());",
    "session_set_save_handler(new Elsewhere());",
    "ini_set('session.save_handler', 'files');",
    "ini_set('session.lazy_write', 0);",
    "ini_set('session.gc_maxlifetime', 100000);",
    "set_error_handler(fn () => true);",
]
STATEMENTS = [
    *["session_start();"] * 6,
    *["session_write_close();"] * 3,
    "session_abort();",
    "session_reset();",
    "session_destroy();",
    "session_unset();",
    *["session_regenerate_id();", "session_regenerate_id(true);"] * 2,
    "session_start(['read_and_close' => true]);",
    "session_start(['use_cookies' => 0]);",
    "echo strlen(session_create_id());",
    "echo session_encode();",
    "session_decode('n|i:7;');",
    *["$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;"] * 6,
    "$_SESSION['long'] = str_repeat('x', 100000);",
    "unset($_SESSION['n']);",
    "$_SESSION[5] = 1;",
    "$_SESSION = [];",
    "$_SESSION = null;",
    "unset($_SESSION);",
    "echo json_encode($_SESSION ?? 'none');",
    *["echo 'text';"] * 3,
    "echo str_repeat('y', 300000);",
    *["ob_start();", "@ob_end_clean();", "@ob_clean();", "@ob_flush();", "@ob_end_flush();", "flush();"] * 2,
    "header('X-Page: its own');",
    "header('Location: /elsewhere');",
    "http_response_code(404);",
    "header('HTTP/1.1 201 Created');",
    "throw new Exception();",
    "exit;",
    "undefined();",
]
AROUND = [
    "register_shutdown_function(function () { %s });",
    "ob_start(function ($text) { %s return $text . '!'; });",
    "$GLOBALS['d'][] = new AtTheEnd(function () { %s });",
    "try { %s } catch (Throwable) { echo 'caught'; }",
    "$fiber = new Fiber(function () { %s }); $fiber->start();",
]


def statement(draw: random.Random, depth: int = 0) -> str:
    if depth < 2 and draw.random() < 0.15:
        inner = " ".join(statement(draw, depth + 1) for _ in range(draw.randint(1, 3)))
        return draw.choice(AROUND).replace("%s", inner)
    return draw.choice(STATEMENTS)


def page(draw: random.Random) -> str:
    lines = [draw.choice(FIRST) if draw.random() < 0.4 else "", "session_start();" if draw.random() < 0.8 else ""]
    lines += [statement(draw) for _ in range(draw.randint(1, 8))]
    # What comes after the end of an answer is stored twice here, and once by PHP's own module.
    if draw.random() < 0.3 and not re.search("AtTheEnd|shutdown", " ".join(lines)):
        lines.append("fastcgi_finish_request();")
    return "\n".join(lines)


def seen(server: Server, pages: list[str]) -> list[object]:
    """What a visitor sees of pages that he asks for one after the other, and what his session holds after each."""
    session, found = None, list[object]()
    for number, code in enumerate(pages):
        (server.sessions.parent / "site" / f"{number}.php").write_text(f"<?php {CLASSES} {code}")
        answer, session = server.get(f"{number}.php", session)
        kept = server.get("look.php", session)[0].text if session else None
        text = re.sub(r"\b[0-9a-z]{26,32}\b", "ID", answer.text)
        found.append((answer.status, answer.headers["X-Page"], answer.headers["Location"], text, kept))
    return found


@pytest.fixture(scope="module", params=STORES)
def servers(
    request: pytest.FixtureRequest, image: Image, extension: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """One with PHP's own module, and one with the store; each request finds what its page is now, not what it was."""
    always_read = "\nopcache.enable = 0\n"
    article = php_ini({}, 2 * LOCK_SECONDS) + always_read
    site = {"look.php": f"<?php {LOOK}", "plain.php": "here"}
    with (
        serving(image, extension, tmp_path_factory.mktemp("files"), article, site=site) as files,
        serving_from(
            request.param, image, extension, tmp_path_factory.mktemp("store"), site=site, more=always_read
        ) as store,
    ):
        yield files, store


@pytest.mark.parametrize("seed", range(PROGRAMS // 10))
def test_random_pages_are_answered_as_on_one_server(servers: tuple[Server, Server], seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(10):
        pages = [page(draw) for _ in range(draw.randint(2, 3))]
        expected, found = (seen(server, pages) for server in servers)
        assert found == expected, "\n---\n".join(pages)
