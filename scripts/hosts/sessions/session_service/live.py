"""The IDs that a log has something of, while somebody writes it: `python3 -m session_service.live SOCKET FOLDER`, one a
line. There may be some too many, of sessions that have just ended, and none is left out that was stored before."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

from .ask import statistics
from .records import Kind, LogError, Position, Record
from .replay import Tail, sessions_at
from .volume import Volume

_LOOKS = 5


@contextmanager
def sessions_now(socket: str, folder: str) -> Iterator[tuple[Mapping[str, Any], Tail, Iterator[Record]]]:
    """All that is known at a place of the log that is confirmed by now, while somebody writes it.

    Args:
        socket: Where the node's service is asked. It need not be the one that writes.
        folder: Where the volume is mounted.

    Returns:
        What the service told, then as `sessions_at`.

    Raises:
        OSError: The service, or the volume, does not answer.
        LogError: A part of the log is missing or damaged.
    """
    volume = Volume(folder)
    with ExitStack() as opened:
        for look in range(_LOOKS):
            # The place of the last look may be in a segment that has been removed since.
            told = statistics(socket)
            segment, offset, chain_before = told["position"]
            known = Position(segment, offset, bytes.fromhex(chain_before))
            try:
                tail, records = opened.enter_context(sessions_at(volume, known))
                break
            except LogError:
                # Read while it was written, or a segment has just been removed.
                if look == _LOOKS - 1:
                    raise
                time.sleep(0.2)
        yield told, tail, records


def _of(records: Iterable[Record]) -> set[bytes]:
    return {record.id for record in records if record.kind is not Kind.ENDED}


def live(socket: str, folder: str) -> set[bytes]:
    """The IDs, as `sessions_now` finds them."""
    with sessions_now(socket, folder) as (_, tail, records):
        # What lies behind the place may have been acknowledged.
        return _of(chain(records, tail.records))


if __name__ == "__main__":
    try:
        for id in live(*sys.argv[1:]):
            print(id.decode())
    except (OSError, LogError) as problem:
        sys.exit(str(problem))
