"""One fault under load, what came of it, and whether the cluster is whole again."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from tests.faults.alerts import REMEMBERED, Firing
from tests.faults.faults import Fault
from tests.faults.history import History
from tests.faults.load import Load
from tests.faults.rig import PHP_NODES, Rig

WARM_UP_SECONDS = 4.0
RANDOM_SECONDS = 3.0
"""The fault comes at a random moment within so many seconds after the warm-up."""

AFTER_SECONDS = 15.0
"""How long clients go on after everything was restored."""

PAUSE_SECONDS = 1.0
"""From one look at the cluster to the next: looking is work, too."""

READ_BACK_SECONDS = 120.0
"""How long reading all sessions may take in the end."""

MEMORY_LIMIT = max(REMEMBERED.values()) + 60
"""Seconds until the machines have forgotten what an earlier fault did, should this one have to raise the same alert."""

WHOLE_LIMIT = 120.0
"""Seconds that a cluster may take until it is whole again; then the trial says what is not."""


@dataclass
class Trial:
    """What came of one fault.

    Attributes:
        fault: Its name.
        profile: Of the cluster.
        seed: Of the moment at which it came, and of the clients' pauses.
        history: What clients met.
        healed: Seconds from the begin of the restoration until nothing waited to be healed; None: never.
        problems: What was still wrong in the end: entries to heal, no or two owners of the floating IP, a node out of
            service, copies that differ.
        repaired: What `pulumi preview` then found to do, and `pulumi up` did; empty: nothing.
        beyond_repair: What is wrong even after that.
        alerts: Those that it raised, by name; None: nobody looked.
        room: The share of a brick's disk that was free in the end, on the fuller of the two.
    """

    fault: str
    profile: str
    seed: str
    history: History
    healed: float | None = None
    problems: list[str] = field(default_factory=list)
    repaired: str = ""
    beyond_repair: list[str] = field(default_factory=list)
    alerts: dict[str, Firing] | None = None
    room: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {**vars(self), "history": self.history.to_json()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Trial:
        """What `to_json` gave."""
        alerts = stored.get("alerts")
        raised = alerts if alerts is None else {name: Firing(*times) for name, times in alerts.items()}
        return cls(**{**stored, "history": History.from_json(stored["history"]), "alerts": raised})


class Healing:
    """Watches, beside everything else, for the moment when nothing waits to be healed.

    Attributes:
        seconds: From the begin of the block to that moment; None until then.
    """

    def __init__(self, rig: Rig) -> None:
        self.seconds: float | None = None
        self._rig = rig
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="healing")

    def _watch(self) -> None:
        begin, last = time.monotonic(), False
        while self.seconds is None and not last:
            # Once more in the end: who waits for the whole cluster may have seen it heal between two looks.
            last, asked = self._enough.is_set(), time.monotonic()
            if self._rig.pending() == 0:
                self.seconds = asked - begin
            self._enough.wait(PAUSE_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()


def run(rig: Rig, fault: Fault, profile: str, seed: str) -> Trial:
    """Breaks something in a whole cluster under load, watches, and leaves the cluster whole if that can be done.

    The fault's time is when its command is given: up to some tenths of a second before it takes effect, which is to the
    cluster's disadvantage.

    Raises:
        AssertionError: The cluster was not whole to begin with.
        StackError: A command failed.
    """
    # What an earlier fault left behind is not this one's.
    if wrong := wait_until_whole(rig, 120):
        raise AssertionError(f"the cluster was not whole before: {'; '.join(wrong)}")
    if rig.alerts:
        rig.alerts.wait_until_clear(MEMORY_LIMIT, REMEMBERED.keys() - {fault.alert})
    rig.look()
    seed_here = f"{seed} {fault.name}"
    load = Load(rig.address, seed_here)
    history = load.history
    trial = Trial(fault.name, profile, seed, history)
    load.start()
    try:
        time.sleep(WARM_UP_SECONDS + random.Random(seed_here).uniform(0, RANDOM_SECONDS))  # noqa: S311  # no secret
        before = rig.alerts.firing() if rig.alerts else set()
        history.fault, fault_at = load.now(), time.time()
        with fault.broken(rig):
            time.sleep(max(0, history.fault + fault.seconds - load.now()))
            history.restore = load.now()
        history.restored, restored_at = load.now(), time.time()
        with Healing(rig) as healing:
            time.sleep(AFTER_SECONDS)
            load.stop()
            trial.problems = wait_until_whole(rig, WHOLE_LIMIT)
        trial.healed = healing.seconds
    finally:
        load.stop()
    load.read_back(PHP_NODES, READ_BACK_SECONDS)
    trial.room = min(rig.room().values())
    trial.repaired = rig.differences()
    if rig.alerts:
        trial.alerts = rig.alerts.since(fault_at, restored_at, before)
    if trial.repaired:
        rig.cluster.up()
    if trial.repaired or trial.problems:
        trial.beyond_repair = wait_until_whole(rig, 60)
    return trial


def wait_until_whole(rig: Rig, limit: float) -> list[str]:
    """Returns what is still wrong after `limit` seconds, as soon as it is nothing."""
    begin = time.monotonic()
    while complaints := rig.complaints():
        if time.monotonic() - begin > limit:
            break
        time.sleep(PAUSE_SECONDS)
    return complaints
