"""A timeline as an SVG picture: one bar for each resource, coloured by its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from scripts.benchmark.timeline import ENGINE, Span
from scripts.drawing import WIDTH, document, grid_step, text

_LABELS = 170
"""Left of the bars."""
_ROW = 16
_GOLDEN_ANGLE = 137.5
"""Degrees of hue from one kind to the next: however many there are, neighbours differ."""


def _colours(kinds: Sequence[str]) -> dict[str, str]:
    return {
        kind: "#bbb" if kind.startswith(ENGINE) else f"hsl({index * _GOLDEN_ANGLE % 360:.0f} 60% 55%)"
        for index, kind in enumerate(kinds)
    }


def timelines(runs: Mapping[str, Sequence[Span]], heading: str) -> str:
    """Draws runs below one another on the same scale.

    Args:
        runs: Title to the work in that run.
        heading: Above everything.
    """
    kinds = list(dict.fromkeys(span.kind for spans in runs.values() for span in sorted(spans, key=lambda s: s.begin)))
    colours = _colours(kinds)
    longest = max((span.end for spans in runs.values() for span in spans), default=1) or 1
    unit = (WIDTH - _LABELS - 60) / longest
    grid = grid_step(longest)
    y = 40.0
    parts = [text(10, 20, heading, 'font-size="14" font-weight="bold"')]
    for title, spans in runs.items():
        parts.append(text(10, y + 12, title, 'font-weight="bold"'))
        y += 24
        top = y
        bars = []
        for span in sorted(spans, key=lambda span: (span.begin, span.end)):
            x, width = _LABELS + span.begin * unit, max(span.seconds * unit, 1)
            told = f"{span.name}: {span.begin:.2f} s to {span.end:.2f} s, {span.seconds:.2f} s"
            bars.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_ROW - 3}" fill="{colours[span.kind]}">'
                f"<title>{escape(told)}</title></rect>"
            )
            bars.append(text(_LABELS - 6, y + 10, span.name, 'text-anchor="end"'))
            bars.append(text(x + width + 3, y + 10, f"{span.seconds:.1f}", 'fill="#666"'))
            y += _ROW
        for line in range(int(longest / grid) + 1):
            x = _LABELS + line * grid * unit
            parts.append(f'<path d="M{x:.1f} {top:.1f}V{y:.1f}" stroke="#ddd"/>')
            parts.append(text(x, y + 11, f"{line * grid:g} s", 'text-anchor="middle" fill="#666"'))
        parts += bars
        y += 30
    for index, kind in enumerate(kinds):
        x, row = 10 + index % 6 * 160, y + index // 6 * _ROW
        parts.append(f'<rect x="{x}" y="{row:.1f}" width="12" height="12" fill="{colours[kind]}"/>')
        parts.append(text(x + 17, row + 10, kind))
    height = y + (len(kinds) // 6 + 2) * _ROW
    return document(height, parts)
