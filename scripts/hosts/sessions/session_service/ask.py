"""Asks a node's service what it knows.

`python3 -m session_service.ask SOCKET` prints JSON; with `--words` a line for scripts/status: whether it
writes, whether it reaches a writer, how many sessions it has, and what keeps it from one.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any, cast

from . import wire


def statistics(path: str) -> dict[str, Any]:
    """What the service at this socket knows.

    Raises:
        OSError: It does not answer.
    """
    with socket.socket(socket.AF_UNIX) as service:
        service.settimeout(5)
        service.connect(path)
        service.sendall(wire.FRAME.pack(1, 0) + bytes([wire.STATISTICS]))
        length, _ = wire.FRAME.unpack(_exactly(service, wire.FRAME.size))
        return cast(dict[str, Any], json.loads(_exactly(service, length)[1:]))


def _exactly(service: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = service.recv(count - len(got))
        if not part:
            raise ConnectionError("it has ended the connection")
        got += part
    return got


if __name__ == "__main__":
    told = statistics(sys.argv[1])
    if sys.argv[2:] == ["--words"]:
        print("yes" if told["writes"] else "no", "yes" if told["linked"] else "no", told["stored"], told["trouble"])
    else:
        print(json.dumps(told))
