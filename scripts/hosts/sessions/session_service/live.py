"""The IDs that a log has something of, while somebody writes it: `python3 -m session_service.live SOCKET FOLDER`, one a
line. There may be some too many, of sessions that have just ended, and none is left out that was stored before."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from itertools import chain

from .ask import statistics
from .records import Kind, LogError, Position, Record
from .replay import sessions_at
from .volume import Volume

_LOOKS = 5


def _of(records: Iterable[Record]) -> set[bytes]:
    return {record.id for record in records if record.kind is not Kind.ENDED}


def live(socket: str, folder: str) -> set[bytes]:
    """The IDs.

    Args:
        socket: Where the node's service is asked. It need not be the one that writes.
        folder: Where the volume is mounted.

    Raises:
        OSError: The service, or the volume, does not answer.
        LogError: A part of the log is missing or damaged.
    """
    segment, offset, chain_before = statistics(socket)["position"]
    known, volume = Position(segment, offset, bytes.fromhex(chain_before)), Volume(folder)
    for look in range(_LOOKS):
        try:
            with sessions_at(volume, known) as (tail, records):
                # What lies behind the place may have been acknowledged.
                return _of(chain(records, tail.records))
        except LogError:
            # Read while it was written, or a segment has just been removed.
            if look == _LOOKS - 1:
                raise
            time.sleep(0.2)
    raise AssertionError


if __name__ == "__main__":
    try:
        for id in live(*sys.argv[1:]):
            print(id.decode())
    except (OSError, LogError) as problem:
        sys.exit(str(problem))
