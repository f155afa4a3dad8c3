"""`scripts/bench calls`: what each file operation of a session costs the bricks and the mount, one at a time.

A request's price is the sum of these: which of them a profile makes is told by `scripts/bench sessions`. One process on
php1 calls the mount of `safe` over and over, nobody else does anything, so a call also has the latency of a store at
rest. CPU time is that of the services, from their control groups, less what they use at rest in the same time.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.plan.topology import MOUNT_POINT, VOLUME
from scripts.benchmark.report import table
from scripts.benchmark.sessions.measure import NODES, configuration, used_by_parts
from scripts.benchmark.sessions.operations import Profile
from scripts.benchmark.stack import BenchStack

PARTS = ("bricks", "mounts")
REST = "nothing"
CALLS: Mapping[str, str] = {
    REST: "time.sleep(0.001)",
    "look-up": "os.stat(path)",
    "open, close": "os.close(os.open(path, os.O_RDWR))",
    "lock, unlock": "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); fcntl.flock(file, fcntl.LOCK_UN)",
    "read 4 KiB": "os.pread(file, 4096, 0)",
    # Gluster ends a change when its file is closed.
    "open, write 4 KiB, close": "new = os.open(path, os.O_RDWR); os.pwrite(new, block, 0); os.close(new)",
    "the same with fdatasync": (
        "new = os.open(path, os.O_RDWR); os.pwrite(new, block, 0); os.fdatasync(new); os.close(new)"
    ),
}
"""Python on the node, as the store's PHP would ask the kernel; an `open` looks the name up."""

_SCRIPT = """python3 - <<'END'
import fcntl, os, time
path, block = "{mount}/bench-calls", bytes(4096)
file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(file, block, 0)
def call():
    {call}
began = time.monotonic()
for number in range({times}):
    call()
print(time.monotonic() - began)
END
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The words of this measurement."""
    calls = commands.add_parser("calls", help="what each file operation of a session costs bricks and mount")
    calls.set_defaults(measure=run)
    calls.add_argument("--times", type=int, default=2000, help="each call in a row (default: 2000)")
    calls.add_argument("--rounds", type=int, default=5, help="of all calls in turns (default: 5)")


@dataclass(frozen=True)
class Cost:
    """Of one call.

    Attributes:
        seconds: Until it returns.
        cpu: CPU seconds of each part.
    """

    seconds: float
    cpu: Mapping[str, float]


def less_rest(cost: Cost, rest: Cost) -> Cost:
    """Without what the parts use when nobody asks them, in the time that the call takes."""
    share = cost.seconds / rest.seconds
    return Cost(cost.seconds, {part: used - share * rest.cpu[part] for part, used in cost.cpu.items()})


def _make_calls(stack: BenchStack, call: str, times: int) -> float:
    """The seconds that they took."""
    return float(stack.enter(NODES[0], _SCRIPT.format(mount=MOUNT_POINT, call=call, times=times)))


def _cost(stack: BenchStack, call: str, times: int) -> Cost:
    before = stack.cpu_seconds()
    seconds = _make_calls(stack, call, times)
    used = used_by_parts(before, stack.cpu_seconds())
    return Cost(seconds / times, {part: used[part] / times for part in PARTS})


def _operations(stack: BenchStack, call: str, times: int) -> Counter[str]:
    with Profile(stack, VOLUME) as profile:
        _make_calls(stack, call, times)
        return sum(profile.interval().values(), Counter())


def row(call: str, costs: Sequence[Cost], counts: Mapping[str, int], times: int) -> list[str]:
    """As a line of the table."""

    def micros(values: Sequence[float]) -> str:
        return f"{1e6 * statistics.median(values):.0f}"

    each = {kind: round(number / times) for kind, number in sorted(counts.items())}
    return [
        call,
        *(micros([cost.cpu[part] for cost in costs]) for part in PARTS),
        micros([sum(cost.cpu.values()) for cost in costs]),
        micros([cost.seconds for cost in costs]),
        ", ".join(f"{number} {kind}" for kind, number in each.items() if number),
    ]


def run(asked: argparse.Namespace) -> int:
    """Measures on a stack of its own; the exit status."""
    with BenchStack(configuration()) as stack:
        print(f"2+{len(NODES)} machines made in {stack.up().seconds:.0f} s", flush=True)
        costs: dict[str, list[Cost]] = {name: [] for name in CALLS}
        for _ in range(asked.rounds):
            for name, call in CALLS.items():
                costs[name].append(_cost(stack, call, asked.times))
        counts = {name: _operations(stack, call, asked.times) for name, call in CALLS.items() if name != REST}
    rows = [
        row(name, [less_rest(*pair) for pair in zip(costs[name], costs[REST], strict=True)], each, asked.times)
        for name, each in counts.items()
    ]
    heading = ["one call", *(f"{part}, us of CPU" for part in PARTS), "both", "returns after, us", "on all bricks"]
    print(f"\n{table(heading, rows)}\n\nMedians of {asked.rounds} rounds of {asked.times} calls.")
    return 0
