"""Cron's five fields, as systemd's timers have them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_FIELDS: Mapping[str, tuple[int, int, tuple[str, ...]]] = {
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day of month": (1, 31, ()),
    "month": (1, 12, _MONTHS),
    "day of week": (0, 7, _DAYS),
}
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?")


def calendar_expression(schedule: str) -> str:
    """The times of a schedule as systemd's OnCalendar.

    Args:
        schedule: Five fields (minute, hour, day of month, month, day of week), or `@daily` and its like.

    Raises:
        ValueError: what is wrong with it.
    """
    fields = _SHORT.get(schedule.strip(), schedule).lower().split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"the schedule {schedule!r} must have five fields ({', '.join(_FIELDS)}) or be one of {', '.join(_SHORT)}"
        )
    values = [_values(schedule, name, field) for name, field in zip(_FIELDS, fields, strict=True)]
    minutes, hours, days, months, weekdays = values
    if days and weekdays:
        raise ValueError(
            f"the schedule {schedule!r} restricts day of month and day of week, of which cron means either: "
            "make two entries of it"
        )
    date = f"*-{_list(months)}-{_list(days)} {_list(hours)}:{_list(minutes)}:00"
    names = [_DAYS[day].capitalize() for day in sorted({day % 7 for day in weekdays or ()})]
    return f"{','.join(names)} {date}" if names else date


def _list(values: tuple[int, ...]) -> str:
    return ",".join(f"{value:02}" for value in values) or "*"


def _values(schedule: str, name: str, field: str) -> tuple[int, ...]:
    """The values that a field allows; none when it allows all."""
    low, high, _ = _FIELDS[name]
    if field == "*":
        return ()
    found: set[int] = set()
    for part in field.split(","):
        fits = _PART.fullmatch(part)
        first, last, step = fits.groups() if fits else (None, None, None)
        begin = low if first == "*" else _number(name, first)
        end = high if first == "*" or (step and not last) else _number(name, last or first)
        if begin is None or end is None or (first == "*" and last) or begin > end or step == "0":
            raise ValueError(f"{part!r} in the schedule {schedule!r} is no {name} from {low} to {high}")
        found.update(range(begin, end + 1, int(step or 1)))
    return tuple(sorted(found))


def _number(name: str, word: str | None) -> int | None:
    low, high, names = _FIELDS[name]
    if word in names:
        return names.index(word) + low
    if word is None or not word.isdigit() or not low <= int(word) <= high:
        return None
    return int(word)
