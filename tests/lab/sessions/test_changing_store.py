"""PHP while the cluster changes its store: sessions are in files or in the log, and come from one to the other."""

import itertools
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from components.php.node import php_ini
from components.plan.topology import MOUNT_POINT, SessionStore
from components.sessions.extension import extension_file, record_lines
from scripts.hosts.sessions.session_service import wire
from scripts.hosts.sessions.session_service.records import Kind
from tests.commands import PROJECT
from tests.lab.conftest import Image
from tests.lab.sessions.server import COUNTING, LOCK_SECONDS, PLAIN_SESSIONS, WORKERS, Server, pages, parsed, serving
from tests.lab.sessions.service import SOCKET, Service, Worker, running
from tests.lab.sessions.test_log import answering
from tests.release import RELEASE

SITE = COUNTING | pages("log")
LOG, FILES = SessionStore.LOG, SessionStore.FILES


def ini(service: str = SOCKET, moves_to: SessionStore | None = None) -> str:
    """PHP's settings. Without a service, each session is a file."""
    lines = record_lines(2 * LOCK_SECONDS, WORKERS, service=service, moves_to=moves_to)
    return php_ini({}, 2 * LOCK_SECONDS, lines)


@contextmanager
def nodes(image: Image, extension: Path, folder: Path, *settings: str) -> Iterator[list[Server]]:
    """PHP with each of these settings, beside each other, with one folder of sessions."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(image, extension, folder, each, site=SITE)) for each in settings]


@pytest.fixture
def service(image: Image, tmp_path: Path) -> Iterator[Service]:
    with running(image, tmp_path) as one:
        yield one


def moved(image: Image, folder: Path, text: str) -> tuple[int, str]:
    """What move_sessions.php ends with and says, with these settings of PHP."""
    text = text.replace(MOUNT_POINT, "/files/sessions").replace(extension_file(), "/files/etc/php_cluster.so")
    (folder / "etc" / "90-php-cluster.ini").write_text(text)
    (folder / "etc" / "move_sessions.php").write_text(
        (PROJECT / "scripts/hosts/sessions/move_sessions.php").read_text()
    )
    user = "setpriv --reuid=www-data --regid=www-data --clear-groups"
    script = f"""
        set -o pipefail
        cp /files/etc/90-php-cluster.ini /etc/php/{RELEASE.php}/fpm/conf.d/
        export PHP_INI_SCAN_DIR=/etc/php/{RELEASE.php}/fpm/conf.d PYTHONPATH=/files/program PYTHONDONTWRITEBYTECODE=1
        move() {{ {user} php -c /etc/php/{RELEASE.php}/fpm /files/etc/move_sessions.php "$@"; }}
        if grep --quiet '^php_cluster.moves_to = "log"' /files/etc/90-php-cluster.ini; then move; else
            {user} python3 -m session_service.live {SOCKET} /files/sessions | move given; fi
    """
    done = image.run(script, files=folder)
    return done.returncode, done.stdout


def in_files(server: Server) -> set[str]:
    """The sessions whose files hold anything."""
    return {path.name.removeprefix("sess_") for path in server.sessions.glob("sess_*") if path.stat().st_size}


def test_sessions_outlive_the_way_to_the_log_and_back(
    image: Image, extension: Path, tmp_path: Path, service: Service
) -> None:
    with nodes(image, extension, tmp_path, ini("")) as [files]:
        sessions = [files.counted(3) for _ in range(4)]
        files.get("size.php?n=300000", sessions[1])
        files.file(sessions[2]).write_bytes(PLAIN_SESSIONS["large"])
        destroyed, gone = files.counted(1), files.counted(1)
        files.get("destroy.php", destroyed)
        files.get("regenerate.php", gone)
        counts = [3, 3, 41, 3]
    way = [ini(moves_to=FILES), ini(moves_to=LOG), ini(), ini(moves_to=LOG), ini(moves_to=FILES), ini("")]
    for step, (before, settings) in enumerate(itertools.pairwise([ini(""), *way]), 1):
        # Nodes of two kinds that may meet, in turns; what the last one has not seen comes along by the program alone.
        with nodes(image, extension, tmp_path, before, settings) as (old, new):
            for server, number in itertools.product((old, new, old), (0, 1, 2)):
                counts[number] += 1
                answer, after = server.get("count.php", sessions[number])
                assert (answer.status, answer.text, after) == (200, str(counts[number]), sessions[number]), step
            made = new.counted(2)
            assert old.get("count.php", made)[0].text == "3"
            assert new.get("count.php", destroyed)[1] != destroyed
            new.get("destroy.php", made)
            assert old.get("look.php", made)[1] != made
        if step in (2, 5):
            status, said = moved(image, tmp_path, settings)
            assert status == 0 and "moved " in said, said
            assert moved(image, tmp_path, settings)[1].startswith("moved 0 sessions\n")
        if step == 2:
            assert not in_files(new) and service.held(sessions[3]).data == b"n|i:3;"
            assert len(service.held(sessions[1]).data) > 300_000
        if step == 3:
            # As the program's last step does.
            for path in new.sessions.glob("sess_*"):
                assert path.stat().st_size == 0
                path.unlink()
    assert parsed(new.file(sessions[3]))[1] == b"n|i:3;"
    assert service.statistics()["sessions"] == 0


PLACES = ["in its file", "in the log", "in the log, with no file", "in both, the file counts"]


def place(server: Server, service: Service, where: str, count: int) -> str:
    """A session that was left there by an interrupted change, after it had counted so far in files."""
    session = server.counted(count)
    worker = Worker(service.path)
    try:
        if where != PLACES[0]:
            data = b"n|i:%d;" % (count if where != PLACES[3] else count - 1)
            held = worker.take(session)
            worker.ask(
                wire.store_body(wire.Store(Kind.STORED, held.version, os.urandom(8), 1000, session.encode(), data))
            )
    finally:
        worker.close()
    if where == PLACES[1]:
        os.truncate(server.file(session), 0)
    elif where == PLACES[2]:
        server.file(session).unlink()
    return session


@pytest.mark.parametrize("first", [FILES, LOG], ids=["files first", "log first"])
def test_what_an_interrupted_change_leaves_is_read_by_either(
    first: SessionStore, image: Image, extension: Path, tmp_path: Path, service: Service
) -> None:
    second = LOG if first is FILES else FILES
    with nodes(image, extension, tmp_path, ini(""), ini(moves_to=first), ini(moves_to=second)) as (files, one, other):
        for where in PLACES:
            session = place(files, service, where, 3)
            for server, count in ((one, "4"), (other, "5"), (one, "6")):
                answer, after = server.get("count.php", session)
                assert (answer.text, after) == (count, session), where
                # It is in one place.
                assert (session in in_files(server)) != (service.held(session).kind == Kind.STORED), where
            ended = place(files, service, where, 3)
            assert one.get("destroy.php", ended)[0].text == "destroyed"
            assert other.get("look.php", ended)[1] != ended, where
            assert ended not in in_files(one) and service.held(ended).kind == Kind.ENDED
            replaced = place(files, service, where, 3)
            answer, new = one.get("regenerate.php", replaced)
            assert answer.text == "3" and new != replaced
            # Whoever was under way with it gets no cookie.
            assert other.get("look.php", replaced)[0].text == "nothing"
            assert other.get("count.php", new)[0].text == "4"


def test_a_session_ends_when_it_would_have(image: Image, extension: Path, tmp_path: Path, service: Service) -> None:
    with nodes(image, extension, tmp_path, ini(""), ini(moves_to=LOG), ini(moves_to=FILES)) as (files, log, back):
        _, session = files.get("brief.php?seconds=5000")
        stored = files.file(session).stat().st_mtime - 300
        os.utime(files.file(session), (stored, stored))
        log.get("brief.php?seconds=5000", session)
        held = service.held(str(session))
        # Not a tenth of its life is over, so nothing but the move has stored it.
        assert abs(held.lifetime - 4700) <= 3
        back.get("brief.php?seconds=5000", session)
        assert abs(files.file(session).stat().st_mtime - stored) <= 3


def test_nobodys_id_gets_no_file(image: Image, extension: Path, tmp_path: Path, service: Service) -> None:
    with nodes(image, extension, tmp_path, ini(moves_to=LOG), ini(moves_to=FILES)) as both:
        for server in both:
            _, drawn = server.get("look.php", "0123456789abcdef0123456789")
            assert drawn != "0123456789abcdef0123456789"
            assert not (server.sessions / "sess_0123456789abcdef0123456789").exists()
    assert service.statistics()["turns"] == 0


def killed_at(php: socket.socket, service: socket.socket, message: int, seen: list[int]) -> None:
    """Passes on what they say, and kills PHP's worker in place of that message."""
    with php, service:
        service.setblocking(True)
        ends = {php: service, service: php}

        def pass_on(one: socket.socket) -> None:
            while header := one.recv(wire.FRAME.size, socket.MSG_WAITALL):
                length, _ = wire.FRAME.unpack(header)
                body = one.recv(length, socket.MSG_WAITALL)
                seen.append(body[0])
                if len(seen) == message:
                    pid, _, _ = struct.unpack("3i", php.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                    os.kill(pid, signal.SIGKILL)
                    return
                ends[one].sendall(header + body)

        both = [threading.Thread(target=pass_on, args=(one,), daemon=True) for one in (php, service)]
        for thread in both:
            thread.start()
        both[0].join()
        php.shutdown(socket.SHUT_RDWR)
        service.shutdown(socket.SHUT_RDWR)
        both[1].join()


@pytest.mark.parametrize("to", [FILES, LOG], ids=["to files", "to log"])
def test_a_worker_may_be_killed_between_any_two_steps(
    to: SessionStore, image: Image, extension: Path, tmp_path: Path, service: Service
) -> None:
    away = LOG if to is FILES else FILES
    seen: list[int] = []
    message = 0

    def relay(php: socket.socket) -> None:
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(str(service.path))
        seen.clear()
        killed_at(php, asked, message, seen)

    with (
        answering(tmp_path / "run" / "relay", relay),
        nodes(image, extension, tmp_path, ini(moves_to=away), ini("/files/run/relay", moves_to=to)) as (old, new),
    ):
        for message in itertools.count(1):
            session = old.counted(3)
            answer, _ = new.get("count.php", session)
            if answer.text == "4":
                break
            # PHP waits for no answer when it gives its turn back, so it may be killed while it sends the page.
            assert answer.status == 502 or answer.text == "", message
            # What was not acknowledged may be stored.
            after = int(old.get("look.php", session)[0].text)
            assert after in (3, 4), message
            for count in (1, 2):
                assert old.get("count.php", session)[0].text == str(after + count)
        # Turn, what is there, a move and a change with its answer.
        assert message >= 5 and answer.status == 200


def test_nothing_acknowledged_is_lost_while_nodes_of_both_kinds_serve_and_workers_are_killed(
    image: Image, extension: Path, tmp_path: Path, service: Service
) -> None:
    over = threading.Event()
    with nodes(image, extension, tmp_path, ini(moves_to=LOG), ini(moves_to=FILES)) as both:
        sessions = [both[0].counted(1) for _ in range(2)]

        def count(visitor: int) -> tuple[list[int], int]:
            answered, refused = list[int](), 0
            for turn in itertools.count():
                if over.is_set():
                    return answered, refused
                page = "killed.php" if turn % 40 == 7 + visitor else "count.php"
                answer, _ = both[turn % 2].get(page, sessions[visitor % 2])
                if answer.status == 200:
                    answered.append(int(answer.text))
                else:
                    refused += 1
            raise AssertionError

        with ThreadPoolExecutor(4) as pool:
            visitors = [pool.submit(count, visitor) for visitor in range(4)]
            time.sleep(6)
            over.set()
        for number, session in enumerate(sessions):
            told = [visitor.result() for visitor in visitors[number::2]]
            answered = sorted(count for answers, _ in told for count in answers)
            stored = {int(server.get("look.php", session)[0].text) for server in both}
            assert len(answered) > 20 and len(set(answered)) == len(answered) and answered[-1] <= max(stored)
            assert len(stored) == 1
            assert max(stored) - 1 - len(answered) <= sum(refused for _, refused in told)
