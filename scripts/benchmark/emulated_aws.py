"""What `scripts/bench up` tells of the substrate `aws`, against an emulated cloud (scripts/toolchain/aws).

Previews of Pulumi.aws.yaml, which ask no account, in seconds; for whole clusters the requests to the EC2 and IAM API
and the SSH sessions. Their seconds would say nothing: the cloud is an emulation in one Python process, and its machines
take a step's text without running it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmark.report import judged, seconds_of, table
from scripts.benchmark.ssh_sessions import sessions_of, sessions_table
from scripts.toolchain.aws.world import AwsStack, World, example_settings, home_with_stand_in

MOST_SECONDS = {2: 8.0, 50: 15.0}
"""What the preview of a new cluster with so many PHP nodes may take."""


def measure(sizes: Sequence[int], runs: int) -> None:
    """Measures in a cloud of its own.

    Args:
        sizes: Numbers of PHP nodes of the clusters to make.
        runs: Of each preview.
    """
    with tempfile.TemporaryDirectory(prefix="php-cluster-") as folder, _world(Path(folder)) as world:
        previews = {nodes: _previews(world, Path(folder), nodes, runs) for nodes in MOST_SECONDS}
        print(f"{preview_table(previews)}\n", flush=True)
        calls, sessions = {}, {}
        for nodes in sizes:
            calls[nodes], sessions[f"2+{nodes}"] = _made(world, Path(folder) / f"made-{nodes}", nodes)
    print(f"{calls_table(calls)}\n\n{sessions_table(sessions)}")


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    world = World(home_with_stand_in(folder / "home"))
    try:
        yield world
    finally:
        world.end()


def _previews(world: World, folder: Path, nodes: int, runs: int) -> list[float]:
    example = example_settings(folder / f"Pulumi.{nodes}.yaml", nodes)
    (folder / f"preview-{nodes}").mkdir()
    stack = AwsStack(folder / f"preview-{nodes}" / "state", world)
    stack.more = {}
    times = []
    for _ in range(runs):
        begin = time.monotonic()
        stack.pulumi("preview", "--config-file", str(example), "--stack", stack.name)
        times.append(time.monotonic() - begin)
    return times


def _made(world: World, folder: Path, nodes: int) -> tuple[Counter[str], Counter[str]]:
    """The API calls and SSH sessions of an `up` from nothing."""
    folder.mkdir()
    settings = {"php-cluster:phpNodes": str(nodes), "php-cluster:aws.sshCidrs[0]": "203.0.113.7/32"}
    stack = AwsStack(folder / "state", world, settings)
    try:
        world.tell("calls")
        stack.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name)
        return Counter(world.tell("calls")), sessions_of(stack.export())
    finally:
        stack.remove()


def preview_table(previews: Mapping[int, Sequence[float]]) -> str:
    """The previews' times beside what is promised."""
    rows = [
        [
            f"2+{nodes}",
            seconds_of(times),
            f"at most {MOST_SECONDS[nodes]:g} s: {judged(statistics.median(times) <= MOST_SECONDS[nodes])}",
        ]
        for nodes, times in previews.items()
    ]
    return table(["preview of", "seconds", "target"], rows)


def calls_table(calls: Mapping[int, Counter[str]]) -> str:
    """The calls that make or change something, for clusters of several sizes, and what one more node adds to each.

    Looks (Describe…, Get…, List…) are added up in one row: how often a provider asks whether something is there yet
    is a matter of time.
    """
    sizes = sorted(calls)
    counted = {nodes: _changing(calls[nodes]) for nodes in sizes}
    rows, even = [], True
    for action in sorted(set().union(*counted.values())):
        counts = [counted[nodes][action] for nodes in sizes]
        added = {
            (more - fewer) / (large - small)
            for fewer, more, small, large in zip(counts, counts[1:], sizes, sizes[1:], strict=False)
        }
        even = even and len(added) == 1
        rows.append([action, *map(str, counts), " or ".join(f"{each:g}" for each in sorted(added))])
    rows.append(["looks", *(str(calls[nodes].total() - counted[nodes].total()) for nodes in sizes), ""])
    heading = ["API calls of `up` from nothing", *(f"2+{nodes}" for nodes in sizes), "one more node"]
    lines = [table(heading, rows)]
    if len(sizes) > 2:
        lines.append(f"what one more node adds is the same whatever N is: {judged(even)}")
    return "\n".join(lines)


def _changing(calls: Counter[str]) -> Counter[str]:
    looks = ("Describe", "Get", "List")
    return Counter({action: count for action, count in calls.items() if not action.startswith(looks)})
