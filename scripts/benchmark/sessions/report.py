"""What was measured, as tables and as JSON, with the targets beside it."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from scripts.benchmark.report import judged, table
from scripts.benchmark.sessions.measure import WRITE, Counted, Sample

REFERENCE = "article"
"""The store that others are set against."""

AIM = 1.5
"""Times the reference, in requests per second."""

TARGET_CONNECTIONS = 16
"""For which there are targets, with read-write pages."""

PARTS = ("bricks", "mounts", "session service", "PHP", "web server", "balancer", "Redis")


class Results:
    """All runs, in groups of the same store, mode and number of connections, in the order of the rounds."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.groups: dict[tuple[str, int, str], list[Sample]] = {}
        for sample in samples:
            self.groups.setdefault((sample.mode, sample.connections, sample.store), []).append(sample)

    def ratio(
        self, mode: str, connections: int, store: str, figure: Callable[[Sample], float], reference: str = REFERENCE
    ) -> float | None:
        """The median, over the rounds, of a store's figure by the reference's; None without the reference."""
        ours = self.groups.get((mode, connections, store), [])
        theirs = self.groups.get((mode, connections, reference), [])
        # A round that was interrupted has no counterpart.
        pairs = list(zip(ours, theirs, strict=False))
        return statistics.median(figure(one) / figure(other) for one, other in pairs) if pairs else None


def rate(sample: Sample) -> float:
    """Requests per second."""
    return sample.run.rate


def p99(sample: Sample) -> float:
    """In milliseconds."""
    return sample.run.p99


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the smallest and largest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def speed_table(results: Results) -> str:
    """Requests per second, times to answer and CPU time, for each store, mode and number of connections."""
    rows = []
    for (mode, connections, store), same in sorted(
        results.groups.items(), key=lambda group: (group[0][0], group[0][1], -statistics.median(map(rate, group[1])))
    ):
        ratio = results.ratio(mode, connections, store, rate)
        rows.append(
            [
                f"{mode}, {connections}",
                store,
                spread([rate(each) for each in same], 0),
                f"{ratio:.2f}" if ratio is not None else "-",
                spread([each.run.p50 for each in same], 1),
                spread([p99(each) for each in same], 1),
                f"{1000 * statistics.median(each.cpu_in_all for each in same):.2f}",
                f"{1000 * statistics.median(each.cpu.get('machines lb', 0) for each in same):.2f}",
                f"{1000 * statistics.median(each.cpu.get('machines php', 0) for each in same):.2f}",
                f"{100 * statistics.median(each.run.load_cpu / each.run.seconds for each in same):.0f} %",
                f"{sum(each.run.failures for each in same)} of {sum(each.run.requests for each in same)}",
            ]
        )
    return table(
        [
            "pages, connections",
            "store",
            "requests/s",
            f"x {REFERENCE}",
            "p50, ms",
            "p99, ms",
            "CPU ms/request",
            "lb1+lb2",
            "PHP nodes",
            "wrk, of a core",
            "wrong answers",
        ],
        rows,
    )


def parts_table(results: Results) -> str:
    """Where the CPU time of a request goes, in milliseconds, at the connections that have targets."""
    rows = []
    for (mode, connections, store), same in results.groups.items():
        if connections != TARGET_CONNECTIONS:
            continue
        parts = [1000 * statistics.median(each.cpu.get(part, 0) for each in same) for part in PARTS]
        rest = 1000 * statistics.median(each.cpu_in_all for each in same) - sum(parts)
        rows.append([f"{mode}, {store}", *(f"{part:.2f}" for part in [*parts, max(rest, 0)])])
    heading = [f"CPU ms/request, {TARGET_CONNECTIONS} connections", *PARTS, "the rest"]
    return table(heading, rows) if rows else ""


def operations_table(counts: Sequence[Counted]) -> str:
    """File operations of a request, over all bricks of the volume."""
    kinds = sorted({kind for each in counts for kind, number in each.operations.items() if number >= 0.05})
    heading = ["file operations per request", *(f"{each.store}, {each.mode}" for each in counts)]
    rows = [[kind, *(f"{each.operations.get(kind, 0):.1f}" for each in counts)] for kind in kinds]
    rows.append(["all", *(f"{sum(each.operations.values()):.1f}" for each in counts)])
    return table(heading, rows)


def targets(results: Results) -> str:
    """What `safe` owes, as far as these runs tell."""
    faster = results.ratio(WRITE, TARGET_CONNECTIONS, "safe", rate)
    slower = results.ratio(WRITE, TARGET_CONNECTIONS, "safe", p99)
    if faster is None or slower is None:
        return "Without `article` and `safe` at 16 connections, read-write, nothing is said of the targets."
    return (
        f"safe, read-write, {TARGET_CONNECTIONS} connections, beside {REFERENCE}: requests/s x {faster:.2f} "
        f"(at least 1: {judged(faster >= 1)}; aim {AIM:g}: {judged(faster >= AIM)}), "
        f"p99 x {slower:.2f} (at most 1: {judged(slower <= 1)})"
    )


def price_of_tls(results: Results) -> str:
    """What encrypted connections cost `safe`, a line for each mode and number of connections; empty if not measured."""
    figures = {"requests/s": rate, "p99": p99, "CPU per request": lambda sample: sample.cpu_in_all}
    lines = []
    for mode, connections, store in results.groups:
        if store == "safe-tls":
            ratios = [
                f"{name} x {ratio:.2f}"
                for name, figure in figures.items()
                if (ratio := results.ratio(mode, connections, "safe-tls", figure, "safe")) is not None
            ]
            if ratios:
                lines.append(f"safe-tls, {mode}, {connections} connections, beside safe: {', '.join(ratios)}")
    return "\n".join(lines)


def failures(samples: Sequence[Sample]) -> int:
    """Answers of `safe`, with TLS or without, that were wrong or did not come; it promises that there are none."""
    return sum(sample.run.failures for sample in samples if sample.store in ("safe", "safe-log", "safe-tls"))


def as_json(samples: Sequence[Sample], counts: Sequence[Counted], box: dict[str, Any]) -> dict[str, Any]:
    """Every run, for whoever wants other figures of it."""
    return {
        "box": box,
        "runs": [dataclasses.asdict(sample) for sample in samples],
        "operations": [dataclasses.asdict(each) for each in counts],
    }
