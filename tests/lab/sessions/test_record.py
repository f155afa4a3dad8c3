"""The session record handler under nginx and php-fpm, inside the image; docs/sessions.md describes the format."""

import fcntl
import hashlib
import os
import re
import socket
import struct
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.lab.conftest import Image
from tests.lab.sessions.server import (
    LOCK_SECONDS,
    PLAIN_SESSIONS,
    SAFE,
    STORES,
    WORKERS,
    Server,
    parsed,
    serving,
    serving_from,
)
from tests.stack.cluster import wait_for


@pytest.fixture
def server(image: Image, extension: Path, tmp_path: Path) -> Iterator[Server]:
    """A PHP node of profile safe."""
    with serving(image, extension, tmp_path, SAFE) as one:
        yield one


@pytest.fixture(params=STORES)
def either(request: pytest.FixtureRequest, image: Image, extension: Path, tmp_path: Path) -> Iterator[Server]:
    """One with sessions in files, and one with the log."""
    with serving_from(request.param, image, extension, tmp_path) as one:
        yield one


def test_a_record_is_what_the_description_says(server: Server) -> None:
    session = server.counted(3)
    assert parsed(server.file(session)) == (3, b"n|i:3;")


def test_a_look_changes_nothing(server: Server) -> None:
    session = server.counted(2)
    before = server.file(session).read_bytes()
    answer, _ = server.get("look.php", session)
    assert answer.text == "2"
    assert server.file(session).read_bytes() == before


def test_a_session_may_grow_and_shrink(either: Server) -> None:
    session = either.counted(1)
    for size in (10, 4096, 65_000, 66_000, 1_000_000, 70_000, 1_000_001, 1):
        answer, _ = either.get(f"size.php?n={size}", session)
        assert answer.text == str(size)
        assert f's:{size}:"'.encode() in either.stored(session)
        assert either.get("look.php", session)[0].text == "1"


def test_a_long_record_that_was_not_written_to_its_end_leaves_the_one_before(server: Server) -> None:
    session = server.counted(1)
    for size in (500_000, 500_001, 500_002):
        before = server.file(session).read_bytes()
        sequence, data = parsed(server.file(session))
        server.get(f"size.php?n={size}", session)
        after = server.file(session).read_bytes()
        # The first write of two: what is new lies there, but the beginning still says what is old.
        server.file(session).write_bytes(before[:4096] + after[4096:])
        assert parsed(server.file(session)) == (sequence, data)
        server.file(session).write_bytes(after)
        assert parsed(server.file(session))[0] == sequence + 1


def test_a_session_above_the_limit_is_refused_and_the_old_one_stays(either: Server) -> None:
    session = either.counted(2)
    answer, _ = either.get(f"size.php?n={16 * 1024 * 1024}", session)
    assert answer.status == 503
    either.log("it has more than 16 MiB")
    assert either.get("count.php", session)[0].text == "3"


@pytest.mark.parametrize("before", ["a record", "a plain session"])
def test_a_full_disk_is_an_error_and_the_old_session_stays(
    image: Image, extension: Path, tmp_path: Path, before: str
) -> None:
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", sessions], check=True)
    try:
        with serving(image, extension, tmp_path, SAFE) as server:
            session = server.counted(2)
            if before == "a plain session":
                server.file(session).write_bytes(b"n|i:2;")
            (sessions / "filler").write_bytes(b"x" * 44 * 1024)
            for size in (40_000, 100_000):
                answer, _ = server.get(f"size.php?n={size}", session)
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            server.log("it cannot be stored: ")
            # What needs no more room than it has is stored.
            assert server.get("count.php", session)[0].text == "3"
            assert server.get("count.php", session)[0].text == "4"
            (sessions / "filler").unlink()
            assert server.get("size.php?n=20000", session)[0].text == "20000"
            assert server.get("count.php", session)[0].text == "5"
    finally:
        subprocess.run(["umount", sessions], check=True)


def test_a_long_record_of_the_first_version_is_read(server: Server) -> None:
    """Before version 02 a record of any length followed its header."""
    session = server.counted(1)
    data = b"n|i:7;t|s:300000:" + b'"' + b"x" * 300_000 + b'";'
    numbers = struct.pack(">QQ", len(data), 5)
    record = b"PCSREC01" + numbers + hashlib.sha256(numbers + data).digest() + data
    server.file(session).write_bytes(record + b"\0" * (-len(record) % 4096))
    assert server.get("count.php", session)[0].text == "8"
    sequence, stored = parsed(server.file(session))
    assert sequence == 6 and stored.startswith(b"n|i:8;")


def test_a_record_of_a_later_version_is_refused(server: Server) -> None:
    session = server.counted(1)
    server.file(session).write_bytes(b"PCSREC99" + server.file(session).read_bytes()[8:])
    assert server.get("count.php", session)[0].status == 503
    server.log("a format that this node does not know")


@pytest.mark.parametrize("kind", PLAIN_SESSIONS)
def test_a_session_of_php_s_own_handler_is_taken_over(server: Server, kind: str) -> None:
    session = server.counted(1)
    server.file(session).write_bytes(PLAIN_SESSIONS[kind])
    assert server.get("look.php", session)[0].text == "41"
    assert server.file(session).read_bytes() == PLAIN_SESSIONS[kind]
    assert server.get("count.php", session)[0].text == "42"
    assert server.get("count.php", session)[0].text == "43"
    sequence, data = parsed(server.file(session))
    assert sequence == 2 and b"n|i:43;" in data


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a changed byte": lambda text: text.replace(b"i:3;", b"i:4;"),
    "a changed sequence number": lambda text: text[:23] + b"\x63" + text[24:],
    "cut off": lambda text: text[:40],
    "cut off in the data": lambda text: text[:58],
    "zeros": lambda text: b"\0" * len(text),
    "a plain session without its end": lambda _text: b'n|i:3;t|s:10:"abc',
    "a plain session that does not decode": lambda _text: b'n|i:3;t|s:10:"abc";',
    "a length beyond the end": lambda text: text[:8] + b"\x00\x00\x00\x00\x7f\xff\xff\xff" + text[16:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_an_error_and_stays_for_inspection(server: Server, damage: str) -> None:
    session = server.counted(3)
    damaged = DAMAGES[damage](server.file(session).read_bytes())
    server.file(session).write_bytes(damaged)
    for page in ("count.php", "look.php", "destroy.php", "regenerate.php"):
        answer, after = server.get(page, session)
        assert answer.status == 503 and answer.headers["Retry-After"] == "1"
        assert "Please try again" in answer.text
        assert after == session, "a visitor must not be given another session"
    assert server.file(session).read_bytes() == damaged


def test_a_refusal_is_one_line_in_the_log_that_does_not_give_the_session_away(server: Server) -> None:
    session = server.counted(1)
    server.file(session).write_bytes(b"garbage")
    server.get("count.php", session)
    [line] = server.log("refused on").splitlines()
    assert re.search(r"session [0-9a-f]{12} refused on \S+: it is no record", line)
    assert session not in server.log("refused on")


def test_nothing_is_promised_that_was_not_stored(server: Server) -> None:
    session = server.counted(3)
    answer, _ = server.get("doomed.php", session)
    assert answer.status == 503
    assert "promised" not in answer.text


def test_what_a_shutdown_function_changes_is_stored(either: Server) -> None:
    session = either.counted(1)
    assert either.get("late.php", session)[0].text == "later"
    assert either.get("look.php", session)[0].text == "100"


def test_without_the_mount_there_is_no_session(server: Server) -> None:
    session = server.counted(3)
    away = server.sessions.with_name("away")
    server.sessions.rename(away)
    for known in (session, None):
        answer, _ = server.get("count.php", known)
        assert answer.status == 503 and "Set-Cookie" not in answer.headers
    assert server.get("plain.php")[0].text == "no session"
    away.rename(server.sessions)
    assert server.get("count.php", session)[0].text == "4"


def test_destroy_ends_a_session(either: Server) -> None:
    session = either.counted(3)
    assert either.get("destroy.php", session)[0].text == "destroyed"
    answer, fresh = either.get("count.php", session)
    assert answer.text == "1" and fresh != session


def test_regenerate_carries_the_data_to_a_new_id(either: Server) -> None:
    session = either.counted(3)
    answer, fresh = either.get("regenerate.php", session)
    assert answer.text == "3" and fresh != session
    assert either.get("count.php", fresh)[0].text == "4"
    assert either.get("count.php", session)[0].text == "1"


@pytest.mark.parametrize("made_up", ["short", "../../etc/passwd", "a" * 300, "x" * 26, "%00" * 9])
def test_a_made_up_id_gets_a_new_session(server: Server, made_up: str) -> None:
    answer, fresh = server.get("count.php", made_up)
    assert (answer.status, answer.text) == (200, "1")
    assert fresh is not None and fresh != made_up
    assert [path.name for path in server.sessions.glob("sess_*")] == [f"sess_{fresh}"]


def test_an_empty_file_is_nobodys_session(server: Server) -> None:
    reserved = "e" * 26
    server.file(reserved).touch()
    server.file(reserved).chmod(0o666)
    answer, fresh = server.get("count.php", reserved)
    assert answer.text == "1" and fresh != reserved


def test_a_session_without_data_keeps_its_id(either: Server) -> None:
    answer, session = either.get("id.php")
    assert answer.text == session
    assert either.get("id.php", session)[0].text == session


def test_an_id_can_be_drawn_while_a_session_is_open(either: Server) -> None:
    session = either.counted(1)
    with ThreadPoolExecutor(WORKERS) as visitors:
        answers = list(visitors.map(lambda _: either.get("draw.php", session)[0].text, range(20)))
    assert sorted(map(int, answers)) == list(range(2, 22))


def test_read_and_close_lets_the_lock_go(either: Server) -> None:
    session = either.counted(3)
    with ThreadPoolExecutor(1) as other:
        looking = other.submit(either.get, "look_long.php", session)
        wait_for("it has read", (either.sessions.parent / "site" / "has-read").exists)
        assert either.get("count.php", session)[0].text == "4"
        (either.sessions.parent / "site" / "go-on").touch()
        assert looking.result()[0].text == "3"


def test_a_site_s_own_handler_is_its_own_business(server: Server) -> None:
    answer, _ = server.get("own.php")
    assert (answer.status, answer.text) == (200, "mine")
    assert list(server.sessions.glob("sess_*")) == []


def test_who_waits_too_long_for_a_session_is_told_so(either: Server) -> None:
    session = either.counted(1)
    with either.holding(session):
        answer, after = either.get("count.php", session)
        assert answer.status == 503 and after == session
        either.log("another request has held its lock for too long")
    assert either.get("count.php", session)[0].text == "2"


def test_who_is_unlucky_waits_longer_where_others_have_their_turns(server: Server) -> None:
    """Two hold the lock by turns and store, so that a third finds it taken for longer than one may hold it."""
    session, over = server.counted(1), threading.Event()

    def hold_by_turns() -> None:
        with server.file(session).open("r+b") as file:
            while not over.is_set():
                fcntl.flock(file, fcntl.LOCK_EX)
                os.utime(file.fileno())
                over.wait(LOCK_SECONDS / 10)
                fcntl.flock(file, fcntl.LOCK_UN)

    with ThreadPoolExecutor(3) as threads:
        holders = [threads.submit(hold_by_turns) for _ in range(2)]
        waiting = threads.submit(server.get, "count.php", session)
        wait(holders, timeout=1.5 * LOCK_SECONDS)
        over.set()
        answer, _ = waiting.result()
    assert (answer.status, answer.text) == (200, "2")


def test_a_visitor_who_hangs_up_leaves_a_session_that_others_can_use(either: Server) -> None:
    session, site = either.counted(1), either.sessions.parent / "site"
    address = urllib.parse.urlsplit(either.url)
    with socket.create_connection((address.hostname, address.port)) as visitor:
        visitor.sendall(f"GET /count_long.php HTTP/1.0\r\nCookie: PHPSESSID={session}\r\n\r\n".encode())
        wait_for("it has counted", (site / "has-counted").exists)
    (site / "go-on").touch()
    # Nobody was told of the second update, so that it may be stored or not.
    answer, after = either.get("count.php", session)
    assert answer.text in ("2", "3") and after == session
    assert either.stored(session) == f"n|i:{answer.text};".encode()


def test_a_session_that_changed_behind_the_lock_is_not_overwritten(server: Server) -> None:
    """As after a lock that was lost with its connection."""
    session = server.counted(1)
    server.get("meanwhile.php", session)
    server.log("another request has changed it")
    assert parsed(server.file(session)) == (9, b"n|i:900;")


def test_binary_data_is_kept(either: Server) -> None:
    _, session = either.get("binary.php")
    assert either.get("binary.php", session)[0].text == hashlib.sha256(bytes(range(256)) * 40).hexdigest()


def test_requests_of_one_session_take_turns(either: Server) -> None:
    session = either.counted(1)
    with ThreadPoolExecutor(WORKERS) as visitors:
        answers = list(visitors.map(lambda _: either.get("count.php", session)[0].text, range(40)))
    assert sorted(map(int, answers)) == list(range(2, 42))
    assert either.stored(session) == b"n|i:41;"


def test_a_page_may_remove_all_buffers(server: Server) -> None:
    """As pages do that send a file; the session is stored before anything leaves."""
    session = server.counted(1)
    answer, _ = server.get("clean.php", session)
    assert (answer.status, answer.text) == (200, "a file")
    assert server.get("look.php", session)[0].text == "7"
    assert server.get("clean_and_count.php", session)[0].text == "9"
    assert server.get("look.php", session)[0].text == "9"
    answer, _ = server.get("doomed_clean.php", session)
    assert answer.status == 503 and answer.headers["Retry-After"] == "1", answer
    assert server.file(session).read_bytes() == b"garbage"
    assert server.log("refused on").count("refused on") == 1


def test_a_method_with_the_name_of_a_function_may_destroy_its_session(either: Server) -> None:
    session = either.counted(3)
    assert either.get("method.php", session)[0].text == "destroyed"
    assert either.get("count.php", session)[0].text == "1"


def test_no_session_is_opened_before_the_store_is_there(either: Server) -> None:
    session = either.counted(3)
    # PHP would follow the upload's progress in the session, before the page and what is prepended to it.
    body = (
        '--x\r\nContent-Disposition: form-data; name="PHP_SESSION_UPLOAD_PROGRESS"\r\n\r\none\r\n'
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        "Content-Type: text/plain\r\n\r\ntext\r\n--x--\r\n"
    )
    upload = urllib.request.Request(
        either.url + "count.php",
        body.encode(),
        {"Cookie": f"PHPSESSID={session}", "Content-Type": "multipart/form-data; boundary=x"},
    )
    with urllib.request.urlopen(upload) as answer:
        assert answer.read() == b"4"


def test_a_site_cannot_put_something_else_in_the_place_of_the_store(
    image: Image, extension: Path, tmp_path: Path
) -> None:
    """A firewall written in PHP, for example, installs itself by way of .user.ini."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "firewall.php").write_text("<?php header('X-Firewall: yes');")
    (tmp_path / "site" / ".user.ini").write_text(
        'auto_prepend_file = "/files/site/firewall.php"\nhighlight.string = "#123456"\n'
    )
    with serving(image, extension, tmp_path, SAFE) as server:
        # It is read.
        assert server.get("user_ini.php")[0].text == "#123456"
        assert parsed(server.file(server.counted(3))) == (3, b"n|i:3;")
