"""Asks a node's service what it knows.

`python3 -m session_service.ask SOCKET` prints JSON; with `--words` a line for scripts/status: whether it
writes, whether it reaches a writer, how many sessions it has, for how many bytes of how many segments since when it
writes, and what keeps it from a writer.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any, cast

from . import wire

ANSWER_SECONDS = 90
"""Longer than a session is waited for."""


class RefusedError(Exception):
    """The service does not do it, and says why."""


class Connection:
    """A connection to a node's service, as a worker of PHP's has one.

    Args:
        path: The service's socket.
        seconds: How long an answer may take.

    Raises:
        OSError: It does not answer.
    """

    def __init__(self, path: str, seconds: float = ANSWER_SECONDS) -> None:
        self._service = socket.socket(socket.AF_UNIX)
        self._service.settimeout(seconds)
        self._service.connect(path)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()

    def ask(self, body: bytes) -> bytes:
        """The answer to a request.

        Raises:
            RefusedError: It is refused.
            OSError: There is none.
        """
        self.tell(body)
        length, _ = wire.FRAME.unpack(self._exactly(wire.FRAME.size))
        answer = self._exactly(length)
        if answer[0] == wire.REFUSED:
            raise RefusedError(answer[1:].decode())
        return answer

    def tell(self, body: bytes) -> None:
        """Says what has no answer."""
        self._service.sendall(wire.FRAME.pack(len(body), 0) + body)

    def _exactly(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            part = self._service.recv(count - len(got))
            if not part:
                raise ConnectionError("it has ended the connection")
            got += part
        return bytes(got)


def statistics(path: str) -> dict[str, Any]:
    """What the service at this socket knows.

    Raises:
        OSError: It does not answer.
    """
    with Connection(path, 5) as service:
        return cast(dict[str, Any], json.loads(service.ask(bytes([wire.STATISTICS]))[1:]))


def words(told: dict[str, Any]) -> str:
    """What scripts/status reads."""
    reaches = ["yes" if told[what] else "no" for what in ("writes", "linked")]
    log = [told.get(what, 0) for what in ("bytes", "segments", "since")]
    return " ".join(map(str, (*reaches, told["stored"], *log, told["trouble"]))).rstrip()


if __name__ == "__main__":
    told = statistics(sys.argv[1])
    print(words(told) if sys.argv[2:] == ["--words"] else json.dumps(told))
