"""The session service of a node, as a test's own process in the image, on a folder in place of the mounted volume."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.hosts.sessions.session_service import wire
from scripts.hosts.sessions.session_service.ask import Connection, statistics
from tests.commands import PROJECT
from tests.lab.conftest import Image
from tests.stack.cluster import wait_for

SOCKET = "/files/run/service"
"""Where PHP asks it, in the image."""

CLIENT = """[xlator.protocol.client.sessions-client-{}.priv]
fd.0.remote_fd = 0
granted-posix-lock[0] = owner = 1, cmd = F_SETLK fl_type = F_WRLCK, fl_start = 0, fl_end = 0
connected = 1
"""
"""What a Gluster mount says of a brick that has the service's segment open and locked."""


class Worker(Connection):
    """A connection as one of PHP's workers has it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), 30)

    def other_end(self) -> int:
        """The process that listens there."""
        pid, _user, _group = struct.unpack("3i", self._service.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)

    def take(self, session: str) -> wire.Held:
        """Waits for the session's turn."""
        return wire.held(self.ask(wire.take_body(wire.Take(30_000, 100, session.encode()))))

    def close(self) -> None:
        """Gives back all turns."""
        self._service.close()


class Service:
    """The service.

    Args:
        image: What it runs in.
        folder: The folder that the image sees as /files. The log is in `sessions` below it.
    """

    def __init__(self, image: Image, folder: Path) -> None:
        self._image, self._folder = image, folder
        self._running: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        for name in ("sessions", "run"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        folder.chmod(0o755)
        graphs = folder / "sessions" / ".meta" / "graphs"
        for number in range(2):
            client = graphs / "trial" / f"sessions-client-{number}"
            client.mkdir(parents=True)
            (client / "private").write_text(CLIENT.format(number))
        (graphs / "active").symlink_to("trial")
        shutil.copytree(PROJECT / "scripts/hosts/sessions", folder / "program")
        done = image.run(
            f"""
            SOURCES=/files/program/service bash /files/program/build-service make /files/session-service
            {self._as_service} python3 -m session_service.begin /files/sessions
            """,
            files=folder,
        )
        assert done.returncode == 0, done.stdout

    @property
    def _as_service(self) -> str:
        settings = {
            "PYTHONPATH": "/files/program",
            "PYTHONDONTWRITEBYTECODE": "1",
            "FOLDER": "/files/sessions",
            "SOCKET": SOCKET,
            "NAME": "php1",
            "ADDRESS": "127.0.0.1",
            "PORT": str(self._port),
            "RANK": "0",
        }
        # It would tell the box's own systemd how it fares.
        words = ["env", "--unset=NOTIFY_SOCKET", *(f"{name}={value}" for name, value in settings.items())]
        return " ".join(["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", *words])

    @property
    def path(self) -> Path:
        """The socket, as the test sees it."""
        return self._folder / "run" / "service"

    def start(self) -> None:
        """Returns when it writes."""
        with (self._folder / "service.log").open("a") as log:
            self._running = subprocess.Popen(
                self._image.command(
                    *["bash", "-c", f"exec {self._as_service} /files/session-service"],
                    files=self._folder,
                    own_network=False,
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for("the service writes", lambda: self.statistics()["linked"], 30, 0.05)

    def kill(self) -> None:
        """Without a word, and not what it runs in, which would let it go on for a moment."""
        assert self._running is not None
        worker = Worker(self.path)
        os.kill(worker.other_end(), signal.SIGKILL)
        worker.close()
        self._running.wait(30)

    def end(self) -> None:
        """As the box ends what runs in it."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(30)

    def statistics(self) -> dict[str, object]:
        """What it tells people."""
        return statistics(str(self.path))

    def held(self, session: str) -> wire.Held:
        """What is stored of a session that nobody has."""
        worker = Worker(self.path)
        try:
            return worker.take(session)
        finally:
            worker.close()


@contextmanager
def running(image: Image, folder: Path) -> Iterator[Service]:
    """A service that writes; its log is shown beside a failure."""
    service = Service(image, folder)
    try:
        service.start()
        yield service
    finally:
        service.end()
        sys.stdout.write((folder / "service.log").read_text())
