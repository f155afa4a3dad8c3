"""Requests per second and times to answer of each store, as an SVG picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scripts.benchmark.sessions.measure import Sample
from scripts.benchmark.sessions.report import Results, p99, rate
from scripts.drawing import WIDTH, document, text

_LABELS = 150
"""Left of the first panel."""
_PANEL = 390
_GAP = 30
_ROW = 17
_COLOURS = {
    "local": "#888",
    "redis": "#c60",
    "redis-forced": "#a30",
    "redis-pair": "#e48",
    "article": "#27c",
    "safe": "#083",
    "safe-tls": "#838",
}


class _Axis:
    """A logarithmic axis of a panel, over all of its values."""

    def __init__(self, left: float, values: Sequence[float]) -> None:
        self._left = left
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def x(self, value: float) -> float:
        """Where a value lies."""
        return self._left + _PANEL * (math.log10(value) - self.low) / (self.high - self.low)

    def grid(self, top: float, bottom: float, unit: str) -> list[str]:
        """A line for each power of ten, with its value below."""
        parts = []
        for power in range(self.low, self.high + 1):
            x = self.x(10.0**power)
            parts.append(f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="#ddd"/>')
            parts.append(text(x, bottom + 13, f"{10.0**power:g} {unit}", 'text-anchor="middle" fill="#666"'))
        return parts


def _span(axis: _Axis, y: float, low: float, high: float, colour: str) -> str:
    """A thin line from one value to another."""
    return f'<path d="M{axis.x(low):.1f} {y:.1f}H{axis.x(high):.1f}" stroke="{colour}" stroke-width="3"/>'


def _dot(axis: _Axis, y: float, value: float, colour: str, told: str, *, beside: float) -> str:
    words = text(axis.x(beside) + 7, y + 4, told, f'fill="{colour}"')
    return f'<circle cx="{axis.x(value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>{words}'


def prices(samples: Sequence[Sample], heading: str) -> str:
    """Draws all runs: left the requests per second with their range, right the times from p50 to p99."""
    groups = Results(samples).groups
    speed = _Axis(_LABELS, [rate(each) for each in samples])
    times = _Axis(WIDTH - _PANEL - _GAP, [each.run.p50 for each in samples] + [p99(each) for each in samples])
    rows: list[str] = []
    top = y = 60.0
    shown = ""
    # The stores in the order of the first round, in every group.
    order = list(dict.fromkeys(each.store for each in samples))
    for (mode, connections, store), same in sorted(
        groups.items(), key=lambda group: (*group[0][:2], order.index(group[0][2]))
    ):
        title = f"{mode}, {connections} connections"
        if title != shown:
            shown = title
            y += 8
            rows.append(text(10, y + 4, title, 'font-weight="bold"'))
            y += _ROW
        colour = _COLOURS.get(store, "#555")
        rates = [rate(each) for each in same]
        middle = statistics.median(rates)
        half, slow = (
            statistics.median(each) for each in ([each.run.p50 for each in same], [p99(each) for each in same])
        )
        rows.append(text(_LABELS - 12, y + 4, store, f'text-anchor="end" fill="{colour}"'))
        rows.append(_span(speed, y, min(rates), max(rates), colour))
        rows.append(_dot(speed, y, middle, colour, f"{middle:.0f}", beside=max(rates)))
        rows.append(_span(times, y, half, slow, colour))
        rows.append(_dot(times, y, slow, colour, f"{half:.1f} to {slow:.1f}", beside=slow))
        y += _ROW
    parts = [
        text(10, 20, heading, 'font-size="14" font-weight="bold"'),
        text(_LABELS, 44, "requests per second: median and range"),
        text(WIDTH - _PANEL - _GAP, 44, "time to answer, in milliseconds: p50 to p99"),
        *speed.grid(top, y, "/s"),
        *times.grid(top, y, "ms"),
        *rows,
    ]
    return document(y + 30, parts)
