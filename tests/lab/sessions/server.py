"""nginx and php-fpm as a PHP node has them, in the image, with pages of the tests' own; what lies in a record."""

import fcntl
import hashlib
import http.cookies
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from components.php.node import fpm_configuration, nginx_site, php_ini
from components.plan import topology
from components.plan.topology import MOUNT_POINT, Profile
from components.plan.traffic import INNER_PORT
from components.sessions.extension import extension_file, record_lines
from tests.lab.conftest import Image
from tests.lab.sessions.service import SOCKET, Service, Worker, running
from tests.release import RELEASE
from tests.stack.cluster import Answer, request, wait_for

PLAN = topology.plan("198.18.7.0/24", 1, Profile.SAFE)
WORKERS = 4
LOCK_SECONDS = 2
SAFE = php_ini({}, 2 * LOCK_SECONDS, record_lines(2 * LOCK_SECONDS, WORKERS))
STORES = ("files", "log")
"""Where sessions can be: what a test says of one holds for the other."""


def pages(folder: str) -> dict[str, str]:
    """The pages of a folder beside this file: name to text."""
    return {path.name: path.read_text() for path in (Path(__file__).parent / folder).iterdir()}


COUNTING = pages("record")


@dataclass
class Server:
    """A PHP server with the handler, and the folder that it stores sessions in, itself or by its node's service."""

    url: str
    sessions: Path
    service: Service | None = None

    def log(self, text: str) -> str:
        """What PHP logged, once the text is in it: it may come after the answer."""

        def read() -> str:
            log = (self.sessions.parent / "php.log").read_text()
            assert text in log, log
            return log

        return wait_for(f"{text!r} is logged", read)

    def get(self, page: str, session: str | None = None) -> tuple[Answer, str | None]:
        """The answer, and the session's ID after it."""
        answer = request(self.url + page, {"Cookie": f"PHPSESSID={session}"} if session else None)
        cookie = http.cookies.SimpleCookie(answer.headers.get("Set-Cookie", ""))
        return answer, cookie["PHPSESSID"].value if "PHPSESSID" in cookie else session

    def counted(self, times: int) -> str:
        """The ID of a new session that counted so far."""
        session: str | None = None
        for expected in range(1, times + 1):
            answer, session = self.get("count.php", session)
            assert (answer.status, answer.text) == (200, str(expected))
        assert session is not None
        return session

    def file(self, session: str | None) -> Path:
        return self.sessions / f"sess_{session}"

    def stored(self, session: str | None) -> bytes:
        """What PHP has stored of a session that nobody has."""
        assert session is not None
        return self.service.held(session).data if self.service else parsed(self.file(session))[1]

    @contextmanager
    def holding(self, session: str) -> Iterator[None]:
        """While another one has the session."""
        if self.service:
            worker = Worker(self.service.path)
            worker.take(session)
            try:
                yield
            finally:
                worker.close()
        else:
            with self.file(session).open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield


@contextmanager
def serving(
    image: Image, extension: Path, tmp_path: Path, ini: str, *, site: Mapping[str, str] = COUNTING, before: str = ":"
) -> Iterator[Server]:
    """nginx and php-fpm as a PHP node has them, on a port of their own; sessions that are there already stay.

    Args:
        image: What they run in.
        extension: PHP's, compiled.
        tmp_path: Where all their files lie.
        ini: PHP's settings.
        site: Its pages: name to text.
        before: A shell command that is run first.
    """
    for folder in ("site", "sessions", "etc"):
        (tmp_path / folder).mkdir(exist_ok=True)
    # PHP's user is not the one who runs the tests.
    tmp_path.chmod(0o755)
    (tmp_path / "sessions").chmod(0o777)
    (tmp_path / "site").chmod(0o777)
    (tmp_path / "php.log").touch()
    (tmp_path / "php.log").chmod(0o666)
    for name, code in site.items():
        (tmp_path / "site" / name).write_text(code)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    texts = {
        "nginx.conf": "user www-data;\nevents {}\nhttp {\n"
        + nginx_site(PLAN, {}, 60)
        .replace("listen 80", f"listen 127.0.0.1:{port}")
        .replace("127.0.0.1:8081", "unix:/run/trial.sock")
        .replace(f"listen {INNER_PORT}", "listen unix:/run/inner.sock")
        + "}\n",
        "fpm.conf": fpm_configuration(Profile.SAFE, WORKERS).replace("error_log = syslog", "error_log = /dev/stderr"),
        # A file: what its user cannot open, PHP says twice, to nginx and to php-fpm.
        "90-php-cluster.ini": ini.replace(MOUNT_POINT, "/files/sessions")
        .replace("error_log = syslog", "error_log = /files/php.log")
        .replace(extension_file(), "/files/etc/php_cluster.so"),
    }
    # Another PHP may be at work with the one that is there.
    shutil.copy(extension, tmp_path / "etc" / "new.so")
    (tmp_path / "etc" / "new.so").replace(tmp_path / "etc" / "php_cluster.so")
    for name, text in texts.items():
        (tmp_path / "etc" / name).write_text(text)
    script = f"""
        mkdir -p /run/php-cluster /srv/site
        ln -s /files/site /srv/site/current
        ln -s /files/site /srv/site/web
        cp /files/etc/90-php-cluster.ini /etc/php/{RELEASE.php}/fpm/conf.d/
        ln -s site-a.sock /run/php-cluster/site.sock
        {before}
        FPM=a php-fpm{RELEASE.php} --nodaemonize --fpm-config /files/etc/fpm.conf &
        exec nginx -c /files/etc/nginx.conf -g "daemon off;"
    """
    log = (tmp_path / "log").open("w+")
    running = subprocess.Popen(
        image.command("bash", "-c", script, files=tmp_path, own_network=False),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for("PHP answers", lambda: request(url + "plain.php").status != 502, 30)
        yield Server(url, tmp_path / "sessions")
    finally:
        running.terminate()
        running.wait(60)
        # Shown by pytest beside a failure.
        sys.stdout.write((tmp_path / "log").read_text())


@contextmanager
def serving_from(
    store: str,
    image: Image,
    extension: Path,
    tmp_path: Path,
    *,
    site: Mapping[str, str] = COUNTING,
    seconds: int = 2 * LOCK_SECONDS,
    more: str = "",
) -> Iterator[Server]:
    """As `serving`, with one of `STORES`, and a service if it needs one.

    Args:
        store: Which one.
        image: What they run in.
        extension: PHP's, compiled.
        tmp_path: Where all their files lie.
        site: Its pages: name to text.
        seconds: How long a page may take. Half of it another one waits for its session.
        more: Lines of PHP's ini file.
    """
    service = SOCKET if store == "log" else ""
    ini = php_ini({}, seconds, record_lines(seconds, WORKERS, service=service)) + more
    with ExitStack() as stack:
        running_service = stack.enter_context(running(image, tmp_path)) if service else None
        server = stack.enter_context(serving(image, extension, tmp_path, ini, site=site))
        yield replace(server, service=running_service)


def parsed(file: Path) -> tuple[int, bytes]:
    """Sequence number and data of a record, read by the description and not by the handler's code.

    What lies behind the data means nothing: a longer record may have been there before.
    """
    text = file.read_bytes()
    assert len(text) % 4096 == 0
    magic, length, sequence, checksum = struct.unpack(">8sQQ32s", text[:56])
    offset = {b"PCSREC01": 56, b"PCSREC02": struct.unpack(">Q", text[56:64])[0]}[magic]
    data = text[offset : offset + length]
    assert checksum == hashlib.sha256(struct.pack(">QQ", length, sequence) + data).digest()
    return sequence, data


PLAIN_SESSIONS = {
    "small": b"n|i:41;",
    "objects and arrays": b'user|O:8:"Customer":1:{s:2:"id";i:5;}n|i:41;cart|a:1:{i:0;s:1:"x";}',
    "large": b'cart|s:200000:"' + b"c" * 200_000 + b'";n|i:41;',
}
"""What PHP's own handler stores; `n` is 41."""
