"""Tests of PHP's own that the product does not pass, with the reason: the table in docs/php.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.commands import PROJECT

TABLE = PROJECT / "docs" / "php.md"
_HEAD = ["test", "PHP", "what differs", "why"]


@dataclass(frozen=True)
class Excepted:
    """A row.

    Attributes:
        test: A test's path in PHP's source.
        versions: Of PHP, `8.2` for instance, in which it fails; empty for all.
        difference: What a page sees.
        reason: Why it stays so.
    """

    test: str
    versions: tuple[str, ...]
    difference: str
    reason: str

    def holds_of(self, version: str) -> bool:
        """Whether that version of PHP, or the package of that version, is meant."""
        return not self.versions or version.startswith(tuple(f"{known}." for known in self.versions))


def excepted(path: Path = TABLE) -> list[Excepted]:
    """All rows.

    Raises:
        ValueError: There is no such table, a row says nothing, or a test has two rows.
    """
    found = [_row(cells) for cells in _rows(path.read_text())]
    names = [row.test for row in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{path.name} has two rows for {', '.join(sorted(twice))}")
    return found


def _rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the table that has our head."""
    lines = iter(text.splitlines())
    if not any(_cells(line) == _HEAD for line in lines):
        raise ValueError(f"there is no table with the head {' | '.join(_HEAD)}")
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield _cells(line)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _row(cells: list[str]) -> Excepted:
    if len(cells) != len(_HEAD) or not cells[0] or not all(cells[2:]):
        raise ValueError(f"a row needs a test, what differs and why: {' | '.join(cells)}")
    test, versions, difference, reason = cells
    return Excepted(test.strip("`"), tuple(versions.replace(",", " ").split()), difference, reason)
