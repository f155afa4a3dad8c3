"""The service as systemd starts it.

Environment: FOLDER (where the volume is mounted), SOCKET (where PHP asks), NAME, ADDRESS, PORT, RANK (empty: it
never writes).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from .node import Identity, Node, listen
from .volume import Volume

WATCHDOG_SECONDS = 0.5


def _tell_systemd(text: str) -> None:
    if path := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(text.encode(), path.replace("@", "\0", 1))


async def _stay_alive() -> None:
    while True:
        _tell_systemd("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_SECONDS)


async def _main() -> None:
    asked = os.environ
    identity = Identity(
        asked["NAME"], asked["ADDRESS"], int(asked["PORT"]), int(asked["RANK"]) if asked.get("RANK") else None
    )
    node = Node(Volume(asked["FOLDER"]), identity)
    await listen(node, asked["SOCKET"], identity)
    _tell_systemd("READY=1")
    await asyncio.gather(node.run(), node.watch_link(f"{asked['SOCKET']}-linked"), _stay_alive())


# A thread that has waited for the disk goes on soon, whatever else there is to do.
sys.setswitchinterval(0.0005)
asyncio.run(_main())
