"""What the bricks count of file operations: `gluster volume profile`."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from components.plan.topology import BALANCERS
from scripts.benchmark.stack import BenchStack

UNCOUNTED = frozenset({"FORGET", "RELEASE", "RELEASEDIR"})
"""No requests of a client: a brick notes when it lets something go."""


def counted(text: str) -> dict[str, Counter[str]]:
    """Brick to operation to number, of the interval that ends now; from the XML of `profile info`."""
    bricks: dict[str, Counter[str]] = {}
    for brick in ET.fromstring(text).iter("brick"):  # noqa: S314 - the cluster's own
        name = brick.findtext("brickName", "")
        bricks[name] = Counter()
        for operation in brick.iterfind("intervalStats/fopStats/fop"):
            kind = operation.findtext("name", "")
            if kind not in UNCOUNTED:
                bricks[name][kind] += int(operation.findtext("hits", "0"))
    return bricks


class Profile:
    """Counting on one volume, for as long as the `with` block lasts; it costs the bricks time."""

    def __init__(self, stack: BenchStack, volume: str) -> None:
        self._stack, self._volume = stack, volume

    def __enter__(self) -> Profile:
        self._gluster("start")
        self.interval()
        return self

    def __exit__(self, *_: object) -> None:
        self._gluster("stop")

    def interval(self) -> dict[str, Counter[str]]:
        """Brick to operation to number, since it was last asked."""
        return counted(self._gluster("info", "incremental"))

    def _gluster(self, *words: str) -> str:
        command = f"gluster --mode=script --xml volume profile {self._volume} {' '.join(words)}"
        return self._stack.enter(BALANCERS[0], command)
