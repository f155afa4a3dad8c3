"""Runs the load on every store in turns."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.plan.settings import PROJECT_FOLDER
from components.substrates.local.identity import NETWORKS
from scripts.benchmark.sessions import operations
from scripts.benchmark.sessions.load import Run, Visitors
from scripts.benchmark.sessions.stores import FOLDER, Store, prepare
from scripts.benchmark.stack import BenchStack
from scripts.stack import StackError

NODES = ("php1", "php2")
WORKERS = 8
"""PHP processes of each store on each node, the program's default."""

MACHINE = "-"
"""In place of a service's name: all of a machine."""

READ, WRITE = "read", "read-write"
MODES = (READ, WRITE)

COUNTED_CONNECTIONS = 16
"""Of the runs in which file operations are counted."""


def part_of(machine: str, service: str) -> str:
    """Which part of the cluster a service belongs to; empty for one that is not told apart."""
    role = machine.rstrip("0123456789")
    if service == MACHINE:
        return f"machines {role}"
    if service == "glusterd.service":
        return "bricks"
    if service.startswith("media-") and service.endswith(".mount"):
        return "mounts"
    if service == "php-cluster-session-log.service":
        return "session service"
    if service.startswith("redis-server@"):
        return "Redis"
    return {
        "haproxy.service": "balancer",
        "bench-fpm.service": "PHP",
        "bench-plain-fpm.service": "PHP",
        "nginx.service": "web server",
    }.get(service, "")


def used_by_parts(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """CPU seconds of each part between two looks at what machines and services have used."""
    used: dict[str, float] = {}
    for key, seconds in after.items():
        if part := part_of(*key):
            used[part] = used.get(part, 0.0) + seconds - before.get(key, 0.0)
    return used


@dataclass(frozen=True)
class Sample:
    """One run under load.

    Attributes:
        store: Its name.
        mode: `read` or `read-write`.
        connections: As many requests are under way.
        run: What the load saw.
        cpu: CPU seconds per request of each part of the cluster; `machines lb` and `machines php` are all of it.
    """

    store: str
    mode: str
    connections: int
    run: Run
    cpu: Mapping[str, float]

    @property
    def cpu_in_all(self) -> float:
        """CPU seconds of all machines per request."""
        return sum(seconds for part, seconds in self.cpu.items() if part.startswith("machines "))

    def __str__(self) -> str:
        """For a person who waits for more of them."""
        run = self.run
        return (
            f"{self.store:<12} {self.mode:<10} {self.connections:>3} connections: {run.rate:7.1f} requests/s, "
            f"p50 {run.p50:.1f} ms, p99 {run.p99:.1f} ms, {1000 * self.cpu_in_all:.2f} ms of CPU"
            + (f", {run.failures} WRONG: {run.example}" if run.failures else "")
        )


def sampled(stack: BenchStack, visitors: Visitors, mode: str, connections: int, seconds: int) -> Sample:
    """One run on a stack."""
    before = stack.cpu_seconds()
    run = visitors.ask(connections=connections, updates=mode == WRITE, seconds=seconds)
    used = used_by_parts(before, stack.cpu_seconds())
    return Sample(visitors.store, mode, connections, run, {part: each / run.requests for part, each in used.items()})


@dataclass(frozen=True)
class Counted:
    """File operations per request, over all bricks.

    Attributes:
        store: Its name.
        mode: `read` or `read-write`.
        operations: Per request.
    """

    store: str
    mode: str
    operations: Mapping[str, float]


class Bench:
    """The stores on a stack that is up.

    Args:
        stack: With NODES, of profile `safe`, with the bench's page as its site.
        stores: Which are compared.
    """

    def __init__(self, stack: BenchStack, stores: Sequence[Store]) -> None:
        self._stack, self.stores = stack, stores
        prepare(stack, stores, NODES, WORKERS)
        address = stack.outputs()["floatingIp"]
        self._visitors = {store.name: Visitors(address, store, NODES, stack.folder) for store in stores}
        for visitors in self._visitors.values():
            visitors.begin()

    def sample(self, store: Store, mode: str, connections: int, seconds: int) -> Sample:
        """One run."""
        return sampled(self._stack, self._visitors[store.name], mode, connections, seconds)

    def rounds(
        self, number: int, connections: Sequence[int], seconds: int, modes: Sequence[str] = MODES
    ) -> Iterator[Sample]:
        """All stores in turns, so many times; each round begins with another one."""
        for index in range(number):
            turn = index % len(self.stores)
            for some in connections:
                for mode in modes:
                    for store in [*self.stores[turn:], *self.stores[:turn]]:
                        yield self.sample(store, mode, some, seconds)

    def count(self, store: Store, mode: str, seconds: int) -> Counted:
        """File operations of a store that lies on a volume."""
        with operations.Profile(self._stack, store.volume) as profile:
            sample = self.sample(store, mode, COUNTED_CONNECTIONS, seconds)
            bricks = profile.interval()
        hits = sum(bricks.values(), Counter())
        return Counted(store.name, mode, {kind: number / sample.run.requests for kind, number in hits.items()})


def check_box() -> None:
    """Raises StackError when the load generator is not there."""
    if shutil.which("wrk") is None:
        raise StackError("wrk, which sends the requests, is not on this box: apt-get install wrk")


def configuration() -> dict[str, str]:
    """The settings of a stack that is measured."""
    return {
        "phpNodes": str(len(NODES)),
        "profile": "safe",
        # PHP's pools choose: each session is a file where they name no service.
        "sessionStore": "log",
        "phpWorkers": str(WORKERS),
        "appDir": str((FOLDER / "site").relative_to(PROJECT_FOLDER)),
        "extraPackages[0]": "php-redis",
        # Wrk stands for many visitors and has one address: of the networks that the lab gives its stacks.
        "limits.exempt[0]": NETWORKS,
    }


def box() -> dict[str, Any]:
    """What the figures depend on."""
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "time": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def measure(
    stack: BenchStack,
    stores: Sequence[Store],
    *,
    connections: Sequence[int],
    rounds: int,
    seconds: int,
    say: Callable[[str], None],
) -> tuple[list[Sample], list[Counted]]:
    """Everything, with a line for each run."""
    bench = Bench(stack, stores)
    samples = []
    for sample in bench.rounds(rounds, connections, seconds):
        samples.append(sample)
        say(str(sample))
    counts = [bench.count(store, mode, seconds) for store in stores if store.volume for mode in MODES]
    return samples, counts
