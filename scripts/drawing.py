"""What pictures of the project have in common: SVG text, a grid of seconds, the frame around everything."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 1000
"""Of every picture."""


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    """Words whose left end, or whatever the attributes say, is at x, y."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'


def grid_step(seconds: float) -> float:
    """Seconds between two lines of the grid: about ten of them."""
    return next(step for step in (0.5, 1, 2, 5, 10, 20, 60, 300, 1800) if seconds / step <= 12)


def document(height: float, parts: Sequence[str]) -> str:
    """The whole picture."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" '
        f'font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
