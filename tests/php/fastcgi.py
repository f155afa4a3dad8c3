"""FastCGI, as much of it as one request to a PHP needs."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
_RESPONDER = struct.pack("!HB5x", 1, 0)
_HEADER = struct.Struct("!BBHHBx")
_LONGEST = 0xFFF8


@dataclass(frozen=True)
class Request:
    """What PHP is told: the parameters, and the body of a POST or PUT."""

    parameters: Mapping[str, str]
    body: bytes = b""

    def with_(self, **parameters: str) -> Request:
        """The same request with more parameters, or others."""
        return replace(self, parameters={**self.parameters, **parameters})

    def with_body(self, method: str, kind: str, body: bytes) -> Request:
        """The same request with that method and that body, whose content type is `kind`."""
        length = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))} if body else {}
        return replace(self.with_(REQUEST_METHOD=method, **length), body=body)

    def records(self) -> bytes:
        """All that is sent to the socket."""
        parameters = b"".join(_pair(*pair) for pair in self.parameters.items())
        streams = [*_stream(PARAMS, parameters), *_stream(STDIN, self.body)]
        return b"".join([_record(BEGIN, _RESPONDER), *streams])


@dataclass(frozen=True)
class Answer:
    """What PHP said.

    Attributes:
        head: Header lines.
        body: What follows them.
        ended: Whether PHP said that this is all; a worker that died has not.
    """

    head: bytes
    body: bytes
    ended: bool = True

    @classmethod
    def parse(cls, output: bytes, ended: bool = True) -> Answer:
        head, _, body = output.partition(b"\r\n\r\n")
        return cls(head, body, ended)

    @property
    def status(self) -> int:
        """As PHP says it to the web server, which takes 200 where it says none."""
        return int((self.header("Status") or "200").split()[0])

    def header(self, name: str) -> str | None:
        """The last one of that name."""
        found = None
        for line in self.head.decode("latin-1").splitlines():
            key, colon, value = line.partition(":")
            if colon and key.strip().lower() == name.lower():
                found = value.strip()
        return found


def ask(path: Path, request: Request, limit: float) -> Answer:
    """Puts one request to the PHP that listens there, and waits `limit` seconds for all of its answer.

    Raises:
        TimeoutError: It took longer.
        OSError: Nobody listens.
    """
    deadline = time.monotonic() + limit
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(limit)
        connection.connect(str(path))
        connection.sendall(request.records())
        received, output = b"", b""
        while True:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part = connection.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return Answer.parse(output, ended=False)
            received += part
            records, received = _complete(received)
            for kind, content in records:
                if kind == STDOUT:
                    output += content
                elif kind == END:
                    return Answer.parse(output)


def _complete(received: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The records that are there as a whole, each with its type, and the bytes after them."""
    records = []
    while len(received) >= _HEADER.size:
        _, kind, _, length, padding = _HEADER.unpack_from(received)
        end = _HEADER.size + length
        if len(received) < end + padding:
            break
        records.append((kind, received[_HEADER.size : end]))
        received = received[end + padding :]
    return records, received


def _stream(kind: int, content: bytes) -> Iterator[bytes]:
    """Its records; an empty one ends it."""
    for start in range(0, len(content), _LONGEST):
        yield _record(kind, content[start : start + _LONGEST])
    yield _record(kind, b"")


def _record(kind: int, content: bytes) -> bytes:
    return _HEADER.pack(1, kind, 1, len(content), 0) + content


def _pair(name: str, value: str) -> bytes:
    words = [name.encode("latin-1"), value.encode("latin-1")]
    lengths = [struct.pack("!B", len(w)) if len(w) < 0x80 else struct.pack("!I", len(w) | 0x80000000) for w in words]
    return b"".join(lengths + words)
