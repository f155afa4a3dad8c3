"""What was measured, as text, with the targets beside it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.benchmark.timeline import Span

MOST_TIMES_THE_FLOOR = {"prebuilt": 1.5, "stock": 1.15}
MOST_SECONDS = 15.0
"""For two balancers and two nodes from prebuilt images."""

MOST_SECONDS_UNCHANGED = 5.0
"""For an update of two nodes that finds nothing to do."""

MOST_SECONDS_PER_NODE = 0.2
"""What one more node may add to an update that finds nothing to do."""

SMALL = 2
"""The number of PHP nodes for which targets in seconds hold."""


@dataclass(frozen=True)
class Pair:
    """The times of the program and the floor in the same runs, in seconds."""

    image: str
    nodes: int
    program: Sequence[float]
    floor: Sequence[float]


@dataclass(frozen=True)
class Change:
    """One kind of change to a cluster of `nodes` PHP nodes: its times in seconds, and what it did to resources."""

    name: str
    nodes: int
    seconds: Sequence[float]
    touched: Counter[str]


ADD = "one more node"
REMOVE = "one node less"
SITE = "another site"
NOTHING = "no change"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need to be; all but the first end at the right."""
    lines = [list(heading), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def seconds_of(values: Sequence[float]) -> str:
    """The median, and how far the values lie apart when there are several."""
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f}-{max(values):.1f})"


def judged(met: bool) -> str:
    """A word for a target."""
    return "met" if met else "MISSED"


def up_table(pairs: Iterable[Pair]) -> str:
    """Program beside floor, their ratio, and the targets. The ratio is that of the medians."""
    rows = []
    for pair in pairs:
        program, floor = statistics.median(pair.program), statistics.median(pair.floor)
        ratio, most = program / floor, MOST_TIMES_THE_FLOOR[pair.image]
        targets = [f"at most {most} x: {judged(ratio <= most)}"]
        if pair.image == "prebuilt" and pair.nodes == SMALL:
            targets.append(f"at most {MOST_SECONDS:g} s: {judged(program <= MOST_SECONDS)}")
        rows.append(
            [
                f"{pair.image} 2+{pair.nodes}",
                seconds_of(pair.program),
                seconds_of(pair.floor),
                f"{ratio:.2f}",
                "; ".join(targets),
            ]
        )
    return table(["machines", "program, s", "floor, s", "ratio", "target"], rows)


def kinds_table(program: Iterable[Span], floor: Iterable[Span]) -> str:
    """For each kind of step, in order of appearance: how many there are, the longest of them, and all of them added up.

    Steps run side by side, so that the sum may be longer than the run.
    """
    ours, theirs = _by_kind(program), _by_kind(floor)
    rows = []
    for kind, seconds in ours.items():
        same = theirs.get(kind)
        rows.append(
            [
                kind,
                str(len(seconds)),
                f"{max(seconds):.2f}",
                f"{max(same):.2f}" if same else "-",
                f"{sum(seconds):.2f}",
                f"{sum(same):.2f}" if same else "-",
            ]
        )
    return table(["kind of step", "steps", "longest, s", "floor's", "sum, s", "floor's"], rows)


def _by_kind(spans: Iterable[Span]) -> dict[str, list[float]]:
    result: dict[str, list[float]] = {}
    for span in sorted(spans, key=lambda span: span.begin):
        result.setdefault(span.kind, []).append(span.seconds)
    return result


def path_table(path: Iterable[Span], total: float) -> str:
    """The critical path: when each step began, how long nothing was done for it before, how long it took."""
    rows, before, waited = [], 0.0, 0.0
    for span in path:
        gap = max(span.begin - before, 0)
        waited += gap
        rows.append([span.name, f"{span.begin:.2f}", f"{gap:.2f}", f"{span.seconds:.2f}"])
        before = span.end
    rows.append(["until the end", f"{before:.2f}", f"{total - before:.2f}", "-"])
    waited += total - before
    rows.append([f"in all {total:.1f} s", "", f"{waited:.2f}", f"{total - waited:.2f}"])
    return table(["critical path", "begins, s", "idle before, s", "takes, s"], rows)


def change_table(changes: Iterable[Change]) -> str:
    """Each change's time and the number of resources it touched."""
    rows = [
        [
            f"{change.name}, 2+{change.nodes}",
            seconds_of(change.seconds),
            str(change.touched.total()),
            ", ".join(f"{count} {operation}" for operation, count in sorted(change.touched.items())) or "none",
        ]
        for change in changes
    ]
    return table(["change", "seconds", "resources touched", "of these"], rows)


def change_targets(changes: Sequence[Change]) -> str:
    """The targets for changes, as far as these numbers of nodes tell."""
    lines = []
    added = {change.nodes: change.touched.total() for change in changes if change.name == ADD}
    if len(added) > 1:
        counts = ", ".join(f"{count} at {nodes}" for nodes, count in sorted(added.items()))
        same = len(set(added.values())) == 1
        lines.append(f"{ADD} touches the same number of resources whatever N is ({counts}): {judged(same)}")
    unchanged = {change.nodes: statistics.median(change.seconds) for change in changes if change.name == NOTHING}
    if SMALL in unchanged:
        met = judged(unchanged[SMALL] < MOST_SECONDS_UNCHANGED)
        lines.append(f"{NOTHING} with {SMALL} nodes under {MOST_SECONDS_UNCHANGED:g} s: {met}")
    if len(unchanged) > 1:
        growth = growth_per_node(unchanged)
        met = judged(growth < MOST_SECONDS_PER_NODE)
        lines.append(f"{NOTHING} grows by less than {MOST_SECONDS_PER_NODE:g} s for each node ({growth:.2f} s): {met}")
    return "\n".join(lines) or "One number of nodes alone says nothing of how a change grows with it."


def growth_per_node(seconds: Mapping[int, float]) -> float:
    """The slope from the fewest nodes to the most."""
    few, many = min(seconds), max(seconds)
    return (seconds[many] - seconds[few]) / (many - few)
