"""Finds every difference between two records, at the smallest part in which they differ."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

ABSENT = "<absent>"


@dataclass(frozen=True)
class Difference:
    """One place at which the records differ.

    Attributes:
        where: Path into the record, its parts joined by ` > `.
        official: What is there with the official plugins, or `ABSENT`.
        standin: What is there with the stand-ins, or `ABSENT`.
    """

    where: str
    official: object
    standin: object

    def shown(self) -> str:
        """Both sides, the official one behind `-`; of long lists and texts only the lines that differ."""
        one, other = _lines(self.official), _lines(self.standin)
        if len(one) + len(other) > 2:
            lines = [line for line in difflib.ndiff(one, other) if line[0] in "-+"]
        else:
            lines = [f"- {line}" for line in one] + [f"+ {line}" for line in other]
        return "\n".join(f"    {line}" for line in lines)


def differences(official: object, standin: object, *path: str) -> Iterator[Difference]:
    """Yields every difference of two JSON values, at the smallest part in which they differ."""
    if isinstance(official, Mapping) and isinstance(standin, Mapping):
        for key in sorted(official.keys() | standin.keys()):
            yield from differences(official.get(key, ABSENT), standin.get(key, ABSENT), *path, key)
    elif _is_list(official) and _is_list(standin) and len(official) == len(standin):
        for number, (one, other) in enumerate(zip(official, standin, strict=True), 1):
            yield from differences(one, other, *path, str(number))
    elif official != standin:
        yield Difference(" > ".join(path), official, standin)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list)


def as_json(value: object) -> str:
    return value if value == ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return value.splitlines() or ['""']
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return [as_json(value)]
