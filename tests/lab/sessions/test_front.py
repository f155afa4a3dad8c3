"""What PHP's extension lets out while a session is open, and how far PHP's own ways reach, under nginx and php-fpm."""

import hashlib
import http.client
import os
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.php.node import waiting_places
from tests.lab.conftest import Image
from tests.lab.sessions.server import SAFE, STORES, WORKERS, Server, pages, serving, serving_from
from tests.stack.cluster import wait_for

SITE = pages("front")
LARGE_ANSWER = 3_000_000


@pytest.fixture
def server(image: Image, extension: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(image, extension, tmp_path, SAFE, site=SITE) as one:
        yield one


@pytest.fixture(params=STORES)
def either(request: pytest.FixtureRequest, image: Image, extension: Path, tmp_path: Path) -> Iterator[Server]:
    with serving_from(request.param, image, extension, tmp_path, site=SITE) as one:
        yield one


def test_a_large_answer_arrives_whole_when_its_session_is_stored(server: Server) -> None:
    answer, session = server.get("large.php")
    body = answer.text.removeprefix("1")
    expected = "".join(chr(97 + i % 26) * 1000 for i in range(3000))
    assert hashlib.sha256(body.encode()).digest() == hashlib.sha256(expected.encode()).digest()
    assert len(body) == LARGE_ANSWER and server.get("look.php", session)[0].text == "1"


def test_nothing_of_a_large_answer_leaves_when_its_session_is_not(server: Server) -> None:
    _, session = server.get("count.php")
    answer, _ = server.get("large_doomed.php", session)
    assert answer.status == 503 and "xxx" not in answer.text
    assert server.get("look.php", session)[0].text == "1"


def test_an_answer_that_cannot_be_held_back_is_refused(image: Image, extension: Path, tmp_path: Path) -> None:
    with serving(
        image, extension, tmp_path, SAFE, site=SITE, before="mount -t tmpfs -o size=64k tmpfs /var/tmp"
    ) as server:
        answer, _ = server.get("large.php")
        assert answer.status == 503 and answer.headers["Retry-After"] == "1"
        server.log("there is no room to hold its answer back")
        assert server.get("count.php")[0].text == "1"


@pytest.mark.parametrize("page", ["streaming.php", "streaming_closed.php"])
def test_an_answer_without_an_open_session_leaves_as_it_comes(server: Server, page: str) -> None:
    site = server.sessions.parent / "site"
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc)
    connection.request("GET", f"/{page}")
    answer = connection.getresponse()
    assert answer.read(1) in (b"b", b"1")
    wait_for("the page goes on", (site / "has-begun").exists)
    (site / "go-on").touch()
    assert answer.read().endswith(b"ends")


def test_a_download_takes_no_memory(server: Server) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc)
    connection.request("GET", "/download.php")
    answer, length = connection.getresponse(), 0
    while part := answer.read(1 << 20):
        length += len(part)
    assert length == 200 << 20
    assert int(server.log("peak ").partition("peak ")[2].split()[0]) < 8 << 20


def test_a_session_ends_when_the_one_in_its_place_is_stored(either: Server) -> None:
    _, session = either.get("count.php")
    answer, after = either.get("regenerate_doomed.php", session)
    assert answer.status == 503 and after == session
    assert either.get("count.php", session)[0].text == "2"
    answer, fresh = either.get("regenerate.php", session)
    assert answer.text == "3" and fresh != session
    # A request that was under way with the old one comes late.
    answer, after = either.get("look.php", session)
    assert (answer.text, after) == ("nothing", session) and "Set-Cookie" not in answer.headers
    assert either.get("count.php", fresh)[0].text == "4"


def test_an_id_that_was_replaced_is_nobodys_after_a_while(server: Server) -> None:
    _, session = server.get("count.php")
    server.get("regenerate.php", session)
    file = server.file(session)
    assert file.read_bytes().startswith(b"PCSREC03")
    later = time.time() - 60
    os.utime(file, (later, later))
    answer, after = server.get("count.php", session)
    assert answer.text == "1" and after != session


def test_both_go_when_a_page_gives_up_the_new_one(server: Server) -> None:
    _, session = server.get("count.php")
    assert server.get("regenerate_and_give_up.php", session)[0].text == "gone"
    assert server.file(session).read_bytes().startswith(b"PCSREC03")


def test_both_stay_when_a_page_asks_for_it(either: Server) -> None:
    _, session = either.get("count.php")
    answer, fresh = either.get("regenerate_kept.php", session)
    assert answer.text == "2" and fresh != session
    assert either.get("look.php", session)[0].text == "1"


@pytest.mark.parametrize(
    ("page", "lifetime"), [("count.php", 1440), ("long_life.php", 864_000), ("short_life.php", 300)]
)
def test_a_session_lives_as_long_as_its_site_says(server: Server, page: str, lifetime: int) -> None:
    """The collector removes what has not changed for 1440 seconds, as far as it can see."""
    began = int(time.time())
    _, session = server.get(page)
    expires = server.file(session).stat().st_mtime + 1440
    assert began + lifetime - 1 <= expires <= time.time() + lifetime + 1
    server.get(page, session)
    assert server.file(session).stat().st_mtime + 1440 >= expires


@pytest.mark.parametrize("store", STORES)
def test_one_who_asks_for_much_at_once_leaves_workers_to_others(
    store: str, image: Image, extension: Path, tmp_path: Path
) -> None:
    with serving_from(store, image, extension, tmp_path, site=SITE, seconds=120) as server:
        asked_for_much(server)


def asked_for_much(server: Server) -> None:
    _, session = server.get("count.php")
    assert session is not None
    places = waiting_places(WORKERS)
    with ThreadPoolExecutor(places + 1) as pool:
        with server.holding(session):
            asked = [pool.submit(server.get, "count.php", session) for _ in range(places + 1)]
            # The one that finds all places taken is refused at once, and others have a worker.
            wait_for("one is refused", lambda: any(one.done() for one in asked))
            waiting = [one for one in asked if not one.done()]
            assert len(waiting) == places
            server.log("too many requests wait for sessions on this node")
            assert server.get("plain.php")[0].text == "no session"
            assert server.get("count.php")[0].text == "1"
        assert sorted(one.result()[0].text for one in waiting) == [str(n) for n in range(2, 2 + places)]
    assert server.get("count.php", session)[0].text == str(2 + places)


def test_the_end_of_an_answer_stores_the_session(either: Server) -> None:
    answer, session = either.get("finished.php")
    assert answer.text == "1"
    wait_for("the rest is stored", lambda: either.get("look.php", session)[0].text == "11")
    answer, _ = either.get("finished_doomed.php", session)
    assert answer.status == 503 and "promised" not in answer.text
    assert not (either.sessions.parent / "site" / "went-on").exists()
    assert either.get("look.php", session)[0].text == "11"


def test_a_handler_that_extends_php_s_own_stores_here(either: Server) -> None:
    _, session = either.get("count.php")
    for page, count in (("extended.php", "2"), ("count.php", "3"), ("extended.php", "4")):
        assert either.get(page, session)[0].text == count
    assert either.stored(session) == b"n|i:4;"
    answer, _ = either.get("sparing.php", session)
    assert (answer.status, answer.text) == (200, "4")


def test_a_handler_s_text_does_not_hide_that_nothing_could_be_encoded(server: Server) -> None:
    answer, session = server.get("encrypting.php")
    assert answer.status in (500, 503) and "promised" not in answer.text and session is None


def test_half_of_a_session_is_not_stored(either: Server) -> None:
    """As PHP's own module does where an object throws, once the page asks for it."""
    _, session = either.get("count.php")
    answer, _ = either.get("torn.php", session)
    assert answer.status == 503 and "promised" not in answer.text
    assert either.get("count.php", session)[0].text == "2"


def test_memory_that_ends_while_a_session_is_encoded_costs_no_promise(server: Server) -> None:
    """PHP tries again at its end, with more of it, and leaves a redirect what it is."""
    _, session = server.get("count.php")
    server.get("no_memory.php", session)
    # It leads to a page that looks.
    stored = server.get("look.php", session)[0].text
    answer, _ = server.get("no_memory.php?again", session)
    assert stored == "1000" if answer.status < 500 else stored in ("1", "1000")


@pytest.mark.parametrize("page", ["own_id.php", "short_id.php"])
def test_a_program_chooses_its_ids(server: Server, page: str) -> None:
    assert [server.get(page)[0].text for _ in range(3)] == ["1", "2", "3"]


def test_a_program_s_id_is_no_visitor_s(either: Server) -> None:
    """Who brings a made-up one gets another, whatever the program has chosen before."""
    answer, fresh = either.get("count.php", "made-up-by-a-visitor-1")
    assert answer.text == "1" and fresh != "made-up-by-a-visitor-1"


def test_a_page_that_leaves_its_session_alone_is_answered(either: Server) -> None:
    _, session = either.get("count.php")
    assert either.get("unset.php", session)[0].text == "left alone"
    assert either.get("look.php", session)[0].text == "1"


def test_a_session_that_cannot_be_decoded_stays(either: Server) -> None:
    _, session = either.get("object.php")
    before = either.stored(session)
    answer, after = either.get("undecodable.php", session)
    assert answer.status == 503 and after == session
    assert either.stored(session) == before


def test_a_session_that_php_starts_itself(image: Image, extension: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / ".user.ini").write_text("session.auto_start = 1\n")
    with serving(image, extension, tmp_path, SAFE, site=SITE) as server:
        answer, session = server.get("status.php")
        assert answer.text == "2 nothing" and session
        server.file(session).write_bytes(b"n|i:7;")
        assert server.get("status.php", session)[0].text == "2 7"
        server.file(session).write_bytes(b"garbage")
        assert server.get("status.php", session)[0].status == 503
        assert server.file(session).read_bytes() == b"garbage"
