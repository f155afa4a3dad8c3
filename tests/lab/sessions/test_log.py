"""PHP and its node's session service: turns, changes, and what becomes of them when either of both ends."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from components.php.node import php_ini, waiting_places
from components.sessions.extension import record_lines
from scripts.hosts.sessions.session_service import wire
from scripts.hosts.sessions.session_service.records import Kind
from tests.lab.conftest import Image
from tests.lab.sessions.server import COUNTING, LOCK_SECONDS, WORKERS, Server, pages, serving, serving_from
from tests.lab.sessions.service import SOCKET, Service, Worker, running
from tests.release import RELEASE
from tests.stack.cluster import Answer, request, wait_for

SITE = COUNTING | pages("log")
MAX_SIZE = 16 << 20
PATIENT_SECONDS = 60


def with_service(path: str) -> str:
    """PHP's settings, with a service that is asked there."""
    return php_ini({}, 2 * LOCK_SECONDS, record_lines(2 * LOCK_SECONDS, WORKERS, service=path))


def service_of(server: Server) -> Service:
    assert server.service is not None
    return server.service


def waits(server: Server, count: int = 1) -> bool:
    """Whether so many requests wait for sessions."""
    return service_of(server).statistics()["waiting"] == count


@pytest.fixture
def server(image: Image, extension: Path, tmp_path: Path) -> Iterator[Server]:
    with serving_from("log", image, extension, tmp_path, site=SITE) as one:
        yield one


@pytest.fixture
def patient(image: Image, extension: Path, tmp_path: Path) -> Iterator[Server]:
    """Its requests wait for each other as long as a test needs."""
    with serving_from("log", image, extension, tmp_path, site=SITE, seconds=PATIENT_SECONDS) as one:
        yield one


@contextmanager
def in_the_middle(server: Server, session: str) -> Iterator[Future[tuple[Answer, str | None]]]:
    """While a page has counted and not stored; it goes on in the end."""
    site = server.sessions.parent / "site"
    with ThreadPoolExecutor(1) as visitor:
        page = visitor.submit(server.get, "count_long.php", session)
        try:
            wait_for("it has counted", (site / "has-counted").exists, pause=0.02)
            yield page
        finally:
            (site / "go-on").touch()


def test_turns_come_in_the_order_in_which_they_were_asked_for(patient: Server) -> None:
    session = patient.counted(1)
    with ThreadPoolExecutor(WORKERS) as visitors:
        with patient.holding(session):
            asked = []
            for number in range(1, waiting_places(WORKERS) + 1):
                asked.append(visitors.submit(patient.get, "count.php", session))
                wait_for("it waits", partial(waits, patient, number), pause=0.02)
        assert [one.result()[0].text for one in asked] == [str(2 + turn) for turn in range(len(asked))]


def test_a_worker_that_is_killed_gives_its_turn_back(patient: Server) -> None:
    session = patient.counted(3)
    assert patient.get("killed.php", session)[0].status == 502
    began = time.monotonic()
    assert patient.get("count.php", session)[0].text == "4"
    assert time.monotonic() - began < LOCK_SECONDS


def test_a_page_goes_on_with_a_service_that_was_started_anew(server: Server) -> None:
    session = server.counted(3)
    with ThreadPoolExecutor(1) as visitor, in_the_middle(server, session) as page:
        service_of(server).kill()
        (server.sessions.parent / "site" / "go-on").touch()
        visitor.submit(service_of(server).start).result()
    answer, after = page.result()
    assert (answer.status, answer.text, after) == (200, "4", session)
    assert server.get("count.php", session)[0].text == "5"


def test_a_turn_that_ended_with_its_service_stores_nothing(patient: Server) -> None:
    """What waited for it has it from the service that was started anew, and stores first."""
    session = patient.counted(3)
    with in_the_middle(patient, session) as page, ThreadPoolExecutor(1) as visitor:
        follower = visitor.submit(patient.get, "count.php", session)
        wait_for("it waits", partial(waits, patient), pause=0.02)
        service_of(patient).kill()
        service_of(patient).start()
        assert follower.result()[0].text == "4"
    assert page.result()[0].status == 503
    patient.log("another request has changed it")
    assert patient.stored(session) == b"n|i:4;"


def test_nothing_acknowledged_is_lost_while_the_service_is_killed_again_and_again(patient: Server) -> None:
    sessions = [patient.counted(1) for _ in range(2)]
    over = threading.Event()

    def count(visitor: int) -> tuple[list[int], int]:
        """What was answered, and how many were refused."""
        answered, refused = list[int](), 0
        while not over.is_set():
            answer, _ = patient.get("count.php", sessions[visitor % 2])
            if answer.status == 200:
                answered.append(int(answer.text))
            else:
                refused += 1
        return answered, refused

    with ThreadPoolExecutor(WORKERS) as pool:
        visitors = [pool.submit(count, visitor) for visitor in range(WORKERS)]
        try:
            for _ in range(4):
                time.sleep(0.7)
                service_of(patient).kill()
                service_of(patient).start()
        finally:
            over.set()
    for number, session in enumerate(sessions):
        told = [visitor.result() for visitor in visitors[number::2]]
        answered = sorted(count for answers, _ in told for count in answers)
        stored = int(patient.get("look.php", session)[0].text)
        assert len(answered) > 10 and len(set(answered)) == len(answered) and answered[-1] <= stored
        # A change that was refused may have been stored.
        assert stored - 1 - len(answered) <= sum(refused for _, refused in told)


def test_without_the_service_there_is_no_session(server: Server) -> None:
    session = server.counted(3)
    service_of(server).kill()
    for known in (session, None):
        answer, _ = server.get("count.php", known)
        assert answer.status == 503 and "Set-Cookie" not in answer.headers
    server.log("its node's session service cannot be reached")
    assert server.get("plain.php")[0].text == "no session"
    service_of(server).start()
    assert server.get("count.php", session)[0].text == "4"


def between(php: socket.socket, service: socket.socket, stored: list[bytes], lose: Callable[[], None]) -> None:
    """Passes on what they say, but for the second answer that something is stored: the connections end instead."""
    with php, service:
        while True:
            for one in select.select([php, service], [], [])[0]:
                data = one.recv(1 << 16)
                if not data:
                    return
                if one is service and data[wire.FRAME.size] == wire.STORED:
                    stored.append(data)
                    if len(stored) == 2:
                        service.close()
                        lose()
                        return
                (service if one is php else php).sendall(data)


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A socket whose connections have this answer, each in a thread."""

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        yield
        # It wakes who accepts.
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("is_taken", [False, True], ids=["nobody else has the turn", "another one has the turn"])
def test_a_change_whose_answer_was_lost_is_made_once(
    is_taken: bool, image: Image, extension: Path, tmp_path: Path
) -> None:
    stored: list[bytes] = []
    known: list[str] = []
    holders: list[Worker] = []

    def lose() -> None:
        if is_taken:
            holders.append(Worker(service.path))
            holders[0].take(known[0])

    def pass_on(php: socket.socket) -> None:
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(str(service.path))
        between(php, asked, stored, lose)

    with (
        running(image, tmp_path) as service,
        answering(tmp_path / "run" / "relay", pass_on),
        serving(image, extension, tmp_path, with_service("/files/run/relay"), site=SITE) as server,
    ):
        known.append(server.counted(1))
        answer, session = server.get("count.php", known[0])
        assert (answer.status, answer.text, session) == (200, "2", known[0])
        # It was asked twice, and tells the version of before.
        assert len(stored) == 3 and stored[1] == stored[2] != stored[0]
        for holder in holders:
            holder.close()
        assert replace(server, service=service).stored(session) == b"n|i:2;"


@pytest.mark.parametrize(
    "answer",
    [
        wire.FRAME.pack(3, 0) + b"abc",
        wire.FRAME.pack(0, 0),
        wire.FRAME.pack(0xFFFFFFFF, 0),
        wire.FRAME.pack(1, 0) + bytes([wire.HELD]),
        wire.FRAME.pack(22, 0) + wire.held_body(9, 0, 0, 0, b""),
    ],
    ids=["unknown", "of no length", "too long", "too short", "unknown kind"],
)
def test_what_php_does_not_understand_is_refused(answer: bytes, image: Image, extension: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()

    def say(php: socket.socket) -> None:
        php.recv(1 << 16)
        php.sendall(answer)

    with (
        answering(tmp_path / "run" / "service", say),
        serving(image, extension, tmp_path, with_service(SOCKET), site=SITE) as server,
    ):
        assert server.get("count.php")[0].status == 503
        server.log("its node's session service says what PHP does not understand")


def test_a_service_that_says_nothing_is_not_waited_for_for_ever(image: Image, extension: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    kept: list[socket.socket] = []
    with (
        answering(tmp_path / "run" / "service", kept.append),
        serving(image, extension, tmp_path, with_service(SOCKET), site=SITE) as server,
    ):
        assert request(server.url + "count.php", timeout=40).status == 503
        assert len(kept) == 1
        server.log("its node's session service does not answer: Connection timed out")


def test_sessions_up_to_the_limit_are_stored(server: Server) -> None:
    around = len('t|s:16777200:"";')
    for size in (0, 2048, 1 << 20, MAX_SIZE - around):
        answer, session = server.get(f"size.php?n={size}")
        assert answer.text == str(size)
        assert server.stored(session) == b't|s:%d:"%s";' % (size, b"x" * size)
        assert server.get("look.php", session)[0].text == "nothing"
    assert len(server.stored(session)) == MAX_SIZE
    assert server.get(f"size.php?n={MAX_SIZE - around + 1}", session)[0].status == 503
    assert len(server.stored(session)) == MAX_SIZE


def test_a_session_ends_with_its_life(server: Server) -> None:
    _, session = server.get("brief.php?seconds=2")
    assert session is not None
    assert server.get("brief.php?seconds=2", session)[1] == session
    time.sleep(2.1)
    assert server.get("brief.php?seconds=2", session)[1] != session
    assert service_of(server).held(session).kind == Kind.ENDED


def test_a_session_that_is_only_looked_at_is_stored_again_when_a_tenth_of_its_life_is_over(server: Server) -> None:
    _, session = server.get("brief.php?seconds=20")
    assert session is not None
    first = service_of(server).held(session)
    server.get("brief.php?seconds=20", session)
    assert service_of(server).held(session).version == first.version
    # One second is lost to rounding.
    time.sleep(3.1)
    server.get("brief.php?seconds=20", session)
    again = service_of(server).held(session)
    assert again.version > first.version and again.age < 3000 and again.lifetime == 20
    # A longer life counts at once.
    server.get("brief.php?seconds=200", session)
    assert service_of(server).held(session).lifetime == 200


def test_an_id_that_was_replaced_is_known_for_a_while(server: Server) -> None:
    session = server.counted(1)
    server.get("regenerate.php", session)
    held = service_of(server).held(session)
    assert (held.kind, held.data, held.lifetime) == (Kind.REPLACED, b"", 10)
    answer, after = server.get("look.php", session)
    assert (answer.text, after) == ("nothing", session)


def test_a_session_is_read_again_when_a_page_asks_for_it(server: Server) -> None:
    session = server.counted(3)
    assert server.get("reset.php", session)[0].text == "3"
    server.get("finished_and_reset.php", session)
    wait_for("the rest is stored", lambda: server.get("look.php", session)[0].text == "14")


def test_a_forked_child_has_a_connection_of_its_own(server: Server, image: Image) -> None:
    script = f"""
        cp /files/etc/90-php-cluster.ini /etc/php/{RELEASE.php}/fpm/conf.d/
        export PHP_INI_SCAN_DIR=/etc/php/{RELEASE.php}/fpm/conf.d
        runuser --user www-data -- php -c /etc/php/{RELEASE.php}/fpm /files/site/forked.php
    """
    said = image.run(script, files=server.sessions.parent).stdout
    assert "stored 1" in said, said
    server.log("another request has its turn")


def test_the_turns_of_one_worker_are_independent(server: Server) -> None:
    """The service gives them to connections, and a worker's has several where a page changes its id."""
    sessions = [server.counted(1) for _ in range(2)]
    worker = Worker(service_of(server).path)
    for session in sessions:
        worker.take(session)
    worker.tell(bytes([wire.RELEASE]) + sessions[0].encode())
    assert server.get("count.php", sessions[0])[0].text == "2"
    assert server.get("count.php", sessions[1])[0].status == 503
    worker.close()
    assert server.get("count.php", sessions[1])[0].text == "2"
