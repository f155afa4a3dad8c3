"""What PHP, its node's service and the writer say to each other: frames of a length, a channel and a body.

A channel is one worker of PHP's; channel 0 is between services. On a worker's own socket it says nothing. A body begins
with what it is. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .records import Kind, Position

FRAME = struct.Struct(">II")
MAX_DATA = 16 << 20
"""A session has no more."""
MAX_ID = 255
MAX_BODY = 34 << 20
"""A batch has updates of `MAX_DATA`, or one of a session as large, and a copy of another one."""

TAKE, STORE, RELEASE, GONE, RECLAIM, STATISTICS = 1, 2, 3, 4, 5, 6
"""A worker's: give me the session's turn and what is stored; store this; I want it no more. Of its node's service:
the worker is gone; he has had this turn before. Anybody's: what is there."""
HELD, STORED, REFUSED, TOLD = 16, 17, 18, 19
"""Answers."""
HELLO, WELCOME, NOT_I, BATCH, ASK, HERE = 32, 33, 34, 35, 36, 37
"""Between services: I would like to send requests; I write; I do not; what was just confirmed; are you there; I am."""

_TAKE = struct.Struct(">BIH")
_STORE = struct.Struct(">BBQ8sIB")
_VERSION = struct.Struct(">BQ")
_HELD = struct.Struct(">BBQQI")
_WELCOME = struct.Struct(">BQQ32s")


class Take(NamedTuple):
    """A worker asks for a session.

    Attributes:
        wait: Milliseconds for which he waits at most for others, or twice as long where these have their turns.
        places: How many of his node may wait.
        id: The session's id.
    """

    wait: int
    places: int
    id: bytes


class Store(NamedTuple):
    """A worker stores a session.

    Attributes:
        kind: What the session is from then on.
        expected: The version that he has read.
        request: By what the writer knows it when it comes again.
        lifetime: Seconds.
        id: The session's id.
        data: What is stored.
    """

    kind: Kind
    expected: int
    request: bytes
    lifetime: int
    id: bytes
    data: bytes


def take(body: bytes) -> Take:
    """What a body says that begins with `TAKE`.

    Raises:
        ValueError: It is none.
        struct.error: It is too short.
    """
    _, wait, places = _TAKE.unpack_from(body)
    if not 0 < len(body) - _TAKE.size <= MAX_ID:
        raise ValueError("a session's id has a length that it cannot have")
    return Take(wait, places, body[_TAKE.size :])


def take_body(asked: Take) -> bytes:
    """The other way round."""
    return _TAKE.pack(TAKE, asked.wait, asked.places) + asked.id


def store(body: bytes) -> Store:
    """What a body says that begins with `STORE`.

    Raises:
        ValueError: It is none.
        struct.error: It is too short.
    """
    _, kind, expected, request, lifetime, length = _STORE.unpack_from(body)
    at = _STORE.size + length
    if length == 0 or not at <= len(body) <= at + MAX_DATA:
        raise ValueError("a session's id, or what is to be stored, has a length that it cannot have")
    return Store(Kind(kind), expected, request, lifetime, body[_STORE.size : at], body[at:])


def store_body(asked: Store) -> bytes:
    """The other way round."""
    kind, expected, request, lifetime, id, data = asked
    return _STORE.pack(STORE, kind, expected, request, lifetime, len(id)) + id + data


def of_version(body: bytes) -> tuple[int, bytes]:
    """The number, and the rest, of a body that has nothing else: `RECLAIM`, `STORED`, and `BATCH`, where it is a
    segment's."""
    _, version = _VERSION.unpack_from(body)
    return version, body[_VERSION.size :]


def version_body(what: int, version: int, rest: bytes = b"") -> bytes:
    """The other way round."""
    return _VERSION.pack(what, version) + rest


def held_body(kind: int, version: int, age: int, lifetime: int, data: bytes) -> bytes:
    """The answer to a `TAKE`: what is stored.

    Args:
        kind: `records.Kind`; of an id that is nobody's `ENDED`.
        version: To be told when it is stored.
        age: Milliseconds since it was stored.
        lifetime: Seconds for which it was stored.
        data: What was stored.
    """
    return _HELD.pack(HELD, kind, version, age, lifetime) + data


class Held(NamedTuple):
    """The answer to a `TAKE`, see `held_body`."""

    kind: int
    version: int
    age: int
    lifetime: int
    data: bytes


def held(body: bytes) -> Held:
    """What a body says that begins with `HELD`."""
    _, kind, version, age, lifetime = _HELD.unpack_from(body)
    return Held(kind, version, age, lifetime, body[_HELD.size :])


def refused_body(why: str) -> bytes:
    """An answer to whatever cannot be done."""
    return bytes([REFUSED]) + why.encode()


def welcome_body(position: Position) -> bytes:
    """I write, and all before that place is confirmed."""
    return _WELCOME.pack(WELCOME, position.segment, position.offset, position.chain)


def welcome(body: bytes) -> Position:
    """The other way round."""
    _, segment, offset, chain = _WELCOME.unpack_from(body)
    return Position(segment, offset, chain)
