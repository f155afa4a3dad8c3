"""Begins the log of a new volume: `python3 -m session_service.begin MOUNT_POINT`.

The folder of the log appears with its first segment in it, or not at all. Nobody else ever begins one: a folder that
cannot be seen at some moment is no reason to.
"""

from __future__ import annotations

import os
import shutil
import sys

from .records import HEADER, NO_CHAIN, Head, Position, encoded
from .volume import FOLDER, segment_name

FIRST = 1


def begin(mount_point: str) -> None:
    """Makes the log, unless there is one.

    Raises:
        OSError: It cannot be made now.
    """
    folder, new = os.path.join(mount_point, FOLDER), os.path.join(mount_point, f"{FOLDER}.new")
    if os.path.isdir(folder):
        return
    # An earlier run may have been interrupted.
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new, 0o700)
    start = Position(FIRST, 0, NO_CHAIN)
    data, _ = encoded(HEADER, start, 0, (), Head(FIRST, None, 1, "", ""))
    file = os.open(os.path.join(new, segment_name(FIRST)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)
    # It fails where there is a log after all: a folder with a segment in it is never replaced.
    os.rename(new, folder)


if __name__ == "__main__":
    begin(sys.argv[1])
