"""A fault as a picture: what became of the requests around it, profiles below one another on the same scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from scripts.drawing import WIDTH, document, grid_step, text
from tests.faults.history import CONNECTION, NO_ANSWER, SERVED, Attempt
from tests.faults.report import Row

SLOT = 0.5
"""Seconds that share a bar."""

_LEFT, _RIGHT, _HEIGHT = 60, 20, 120
_BEFORE = 5.0
"""Seconds before the fault that are shown."""

_COLOURS = {SERVED: "#5a5", NO_ANSWER: "#e90", CONNECTION: "#a3c"}
_OTHER = "#d22"
"""An HTTP status that is no success."""


def _colour(outcome: str) -> str:
    return _COLOURS.get(outcome, _OTHER)


def _slots(row: Row) -> dict[int, Counter[str]]:
    slots: dict[int, Counter[str]] = {}
    for attempt in row.trial.history.attempts:
        slots.setdefault(math.floor(_since(row, attempt) / SLOT), Counter())[attempt.outcome] += 1
    return slots


def _since(row: Row, attempt: Attempt) -> float:
    return attempt.begin - row.trial.history.fault


def timeline(rows: Sequence[Row]) -> str:
    """One panel for each row: requests by when they began, in bars of half a second."""
    longest = max(_since(row, attempt) for row in rows for attempt in row.trial.history.attempts) + SLOT
    unit = (WIDTH - _LEFT - _RIGHT) / (longest + _BEFORE)
    y = 20.0
    parts = [text(10, y, f"php-cluster, fault {rows[0].trial.fault}", 'font-size="14" font-weight="bold"')]
    for row in rows:
        y += 24
        parts.append(text(10, y, _title(row), 'font-weight="bold"'))
        parts += _panel(row, y + 8, unit, longest)
        y += _HEIGHT + 26
    y += 14
    for index, (outcome, colour) in enumerate([*_COLOURS.items(), ("other status", _OTHER)]):
        parts.append(f'<rect x="{_LEFT + index * 160}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(text(_LEFT + index * 160 + 17, y, outcome))
    return document(y + 20, parts)


def _title(row: Row) -> str:
    lost = f"{len(row.verdict.lost)} of {row.verdict.acknowledged} acknowledged updates lost"
    history, during, after = row.trial.history, row.phases.during, row.phases.after
    # Whoever failed after the restoration had not been served again before it.
    from_fault = history.restore - history.fault + after.served_after if after.errors else during.served_after
    served = f"served again from {from_fault:.1f} s"
    return f"{row.trial.profile}: {lost}, {served}, longest wait {row.longest_wait:.1f} s"


def _panel(row: Row, top: float, unit: float, longest: float) -> list[str]:
    history, slots = row.trial.history, _slots(row)
    highest = max(slot.total() for slot in slots.values())
    bottom = top + _HEIGHT

    def x(seconds: float) -> float:
        return _LEFT + (seconds + _BEFORE) * unit

    begin, end = x(0), x(history.restore - history.fault)
    parts = [f'<rect x="{begin:.1f}" y="{top}" width="{end - begin:.1f}" height="{_HEIGHT}" fill="#f4e4e4"/>']
    step = grid_step(longest + _BEFORE)
    for line in range(math.ceil(-_BEFORE / step), math.floor(longest / step) + 1):
        parts.append(f'<path d="M{x(line * step):.1f} {top}V{bottom}" stroke="#ddd"/>')
        parts.append(text(x(line * step), bottom + 12, f"{line * step:g} s", 'text-anchor="middle" fill="#666"'))
    parts.append(text(_LEFT - 6, top + 10, f"{highest / SLOT:.0f}/s", 'text-anchor="end" fill="#666"'))
    for number, slot in slots.items():
        if number * SLOT < -_BEFORE:
            continue
        y = bottom
        for outcome in sorted(slot, key=lambda outcome: (outcome != SERVED, outcome)):
            height = slot[outcome] / highest * _HEIGHT
            y -= height
            parts.append(
                f'<rect x="{x(number * SLOT):.1f}" y="{y:.1f}" width="{max(SLOT * unit - 0.5, 1):.1f}" '
                f'height="{height:.1f}" fill="{_colour(outcome)}"/>'
            )
    marks = {"fault": history.fault, "restored": history.restored}
    if row.trial.healed is not None:
        marks["healed"] = history.restored + row.trial.healed
    for name, moment in marks.items():
        at = x(moment - history.fault)
        parts.append(f'<path d="M{at:.1f} {top}V{bottom}" stroke="#333" stroke-dasharray="3 2"/>')
        parts.append(text(at + 2, top + 10, name, 'fill="#333"'))
    return parts
