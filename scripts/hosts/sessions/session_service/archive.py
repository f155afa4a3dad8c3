"""The sessions of a log as a tar archive, and back into a log: what scripts/backup and scripts/restore ask of a node.

    python3 -m session_service.archive export SOCKET FOLDER LIFETIME [HASH]
    python3 -m session_service.archive check | store SOCKET FOLDER LIFETIME

The archive is that of export_sessions.php: a file for each session, `sessions/sess_ID`, with the data as PHP's
serializer made it, and the time after which it lives for LIFETIME (session.gc_maxlifetime). It is no store's own
format: one of files is restored into a log, and the other way round.

export writes it to standard output: all sessions that live, or those of which the SHA-256 of the ID begins with HASH.
They are as of one confirmed place of the log, which has all that was acknowledged before; visitors go on. The counts go
to standard error as JSON.

store reads standard input, a whole backup. Each session is stored as PHP would store it, on the version that was read.
An interrupted run can be repeated. One that has expired stays so. One that is newer here, or that ended here of late,
stays as it is. check changes nothing. To standard output: a line for each session that is newer here or cannot be
stored, as logs name it; then the counts as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tarfile
import threading
import time as clock
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from . import wire
from .ask import Connection, RefusedError
from .live import sessions_now
from .records import Kind, LogError

KEY = ".php-cluster-id-key"
"""By it PHP knows the cluster's own IDs."""
LAST = "cluster/counts.json"
"""A backup is whole if it has this one, behind everything."""
_PREFIX, _SESSION = "sessions/", "sess_"
_ID = re.compile(r"sess_[a-zA-Z0-9,-]{1,255}")
_CONNECTIONS = 32
"""Most of the time goes to waiting for the bricks' disks, and those that wait together are one commit."""
_CLOSE_SECONDS = 2
"""A session's time is kept in seconds there, in the log's milliseconds here."""
_AWAY_SECONDS = 20
"""A service that is started anew is there again after less."""
_WAIT_MILLISECONDS, _PLACES = 30_000, 1000


class UnreadableError(Exception):
    """The archive is not whole."""


class FollowsError(Exception):
    """Another node writes the log, and may have acknowledged what this one does not know yet."""


@dataclass(frozen=True)
class Place:
    """Where sessions are.

    Attributes:
        socket: Where the node's service is asked.
        folder: Where the volume is mounted.
        lifetime: Seconds after its time for which a session of an archive lives.
    """

    socket: str
    folder: str
    lifetime: int


def log_name(id: bytes) -> str:
    """As logs name a session."""
    return hashlib.sha256(id).hexdigest()[:12]


def export(place: Place, wanted: str, into: IO[bytes]) -> dict[str, int]:
    """Writes the archive, and counts what is in it.

    Raises:
        FollowsError: This node does not write the log.
    """
    counts = {"sessions": 0, "expired": 0, "unread": 0}
    with sessions_now(place.socket, place.folder) as (told, tail, records):
        if not told["writes"]:
            raise FollowsError("another node writes the log of sessions, or none: try again")
        log_now, now = max(told["time"], tail.time), clock.time()
        key = Path(place.folder, KEY)
        if not wanted and key.exists():
            _write(into, KEY, key.read_bytes(), now)
        for record in records:
            if record.kind is not Kind.STORED or not hashlib.sha256(record.id).hexdigest().startswith(wanted):
                continue
            ends = now + (record.changed - log_now) / 1000 + record.lifetime
            if ends <= now:
                counts["expired"] += 1
                continue
            _write(into, _SESSION + record.id.decode(), record.data, ends - place.lifetime)
            counts["sessions"] += 1
        into.write(bytes(2 * tarfile.BLOCKSIZE))
        into.flush()
    return counts


def _write(into: IO[bytes], name: str, data: bytes, time: float) -> None:
    entry = tarfile.TarInfo(_PREFIX + name)
    entry.size, entry.mode, entry.mtime = len(data), 0o600, round(time)
    entry.uname = entry.gname = "www-data"
    into.write(entry.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE))


def archived(source: IO[bytes]) -> Iterator[tuple[str, bytes, int]]:
    """Name, data and time of each session of a backup, and of the key.

    Raises:
        UnreadableError: It ends before its sessions do.
    """
    has_begun = False
    try:
        # A backup is several archives, one after the other.
        with tarfile.open(fileobj=source, mode="r|", ignore_zeros=True) as archive:
            while (entry := archive.next()) is not None:
                # It would keep all that it has seen for a list that nobody wants.
                cast(Any, archive).members.clear()
                if entry.name.startswith(_PREFIX):
                    has_begun = True
                    file = cast(IO[bytes], archive.extractfile(entry))
                    yield entry.name.removeprefix(_PREFIX), file.read(), int(entry.mtime)
                elif has_begun or entry.name == LAST:
                    return
    except tarfile.TarError as problem:
        raise UnreadableError(f"the backup cannot be read: {problem}") from problem
    raise UnreadableError("the backup ends too early")


class Restoration:
    """Sessions on their way into the log.

    Args:
        place: Where they go.
        source: A backup.
        stores: Whether they are stored; if not, it is only looked what would become of them.
    """

    def __init__(self, place: Place, source: IO[bytes], *, stores: bool) -> None:
        self._place, self._stores = place, stores
        self._arriving, self._lock = archived(source), threading.Lock()
        self.counts = Counter({"restored": 0, "already": 0, "newer": 0, "expired": 0, "unstored": 0})
        self.lines: list[str] = []

    def run(self) -> None:
        """Sees to all of them.

        Raises:
            UnreadableError: The archive is not whole.
            OSError: The node's service does not answer.
        """
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for ended in [pool.submit(self._work) for _ in range(_CONNECTIONS)]:
                ended.result()

    def _next(self) -> tuple[str, bytes, int] | None:
        with self._lock:
            return next(self._arriving, None)

    def _work(self) -> None:
        connection: Connection | None = None
        while (arrived := self._next()) is not None:
            name, data, time = arrived
            if name == KEY:
                self._restore_key(data)
                continue
            if not _ID.fullmatch(name):
                raise UnreadableError("the backup has a session without an ID")
            id, deadline = name.removeprefix(_SESSION).encode(), clock.monotonic() + _AWAY_SECONDS
            while True:
                try:
                    connection = connection or Connection(self._place.socket)
                    self._note(id, self._restored(connection, id, data, time))
                    break
                except RefusedError as why:
                    self._note(id, "unstored", f": {why}")
                    break
                except OSError:
                    # What was done before it went is found done.
                    connection = None
                    if clock.monotonic() > deadline:
                        raise
                    clock.sleep(0.1)

    def _note(self, id: bytes, result: str, why: str = "") -> None:
        with self._lock:
            self.counts[result] += 1
            if result in ("newer", "unstored"):
                self.lines.append(f"{result} {log_name(id)}{why}")

    def _restored(self, service: Connection, id: bytes, data: bytes, time: int) -> str:
        """What becomes of a session: see `counts`."""
        ends = time + self._place.lifetime
        if ends <= clock.time():
            return "expired"
        held = wire.held(service.ask(wire.take_body(wire.Take(_WAIT_MILLISECONDS, _PLACES, id))))
        try:
            if (result := self._compared(held, data, time, ends)) == "restored" and self._stores:
                lives = max(1, round(ends - clock.time()))
                asked = wire.Store(Kind.STORED, held.version, os.urandom(8), lives, id, data)
                service.ask(wire.store_body(asked))
        finally:
            service.tell(bytes([wire.RELEASE]) + id)
        return result

    @staticmethod
    def _compared(held: wire.Held, data: bytes, time: int, ends: int) -> str:
        if held.version == 0:
            return "restored"
        if held.kind == Kind.STORED and held.data == data:
            return "already"
        changed = clock.time() - held.age / 1000
        # By the ends alone, what was stored after the backup would be older once gc_maxlifetime was raised.
        is_older = max(changed - time, changed + held.lifetime - ends) < -_CLOSE_SECONDS
        return "restored" if held.kind == Kind.STORED and is_older else "newer"

    def _restore_key(self, key: bytes) -> None:
        """Gives the cluster the key. PHP's processes have read the one of before, and are to start anew."""
        path = Path(self._place.folder, KEY)
        if not self._stores or (path.exists() and path.read_bytes() == key):
            return
        new = path.with_name(f".php-cluster-import-{os.getpid()}")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, key)
            os.fsync(file)
        finally:
            os.close(file)
        new.rename(path)


def main(what: str, socket: str, folder: str, lifetime: str, wanted: str = "") -> None:
    """Does what the command line asks for."""
    place = Place(socket, folder, int(lifetime))
    if what == "export":
        print(json.dumps(export(place, wanted, sys.stdout.buffer)), file=sys.stderr)
        return
    restoration = Restoration(place, sys.stdin.buffer, stores=what == "store")
    restoration.run()
    print(*restoration.lines, json.dumps(restoration.counts), sep="\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, LogError, UnreadableError, FollowsError) as problem:
        sys.exit(str(problem))
