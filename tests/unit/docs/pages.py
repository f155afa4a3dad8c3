"""The repository's pages of Markdown, taken apart: what the tests of this folder hold against the code."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.commands import PROJECT

_FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


@dataclass(frozen=True)
class Page:
    """One page."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def prose(self) -> str:
        """Without blocks of code."""
        return _FENCE.sub("", self.text)

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """The blocks of code: language and text."""
        return [(language, block) for _, language, block in _FENCE.findall(self.text)]

    @cached_property
    def spans(self) -> list[str]:
        """The words in backticks."""
        return _SPAN.findall(self.prose)

    @cached_property
    def links(self) -> list[str]:
        """Their targets."""
        return _LINK.findall(_SPAN.sub("", self.prose))

    @cached_property
    def anchors(self) -> set[str]:
        """As GitHub derives them from headings."""
        seen: Counter[str] = Counter()
        found = set()
        for heading in _HEADING.findall(self.prose):
            name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            found.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
        return found

    def section(self, heading: str) -> str:
        """What stands below a heading, up to the next one of its rank."""
        _, found, rest = f"\n{self.text}".partition(f"\n{heading}\n")
        assert found, f"{self} has no {heading}"
        rank = heading.partition(" ")[0]
        return re.split(rf"\n#{{1,{len(rank)}}} ", rest)[0]

    def __str__(self) -> str:
        return str(self.path.relative_to(PROJECT))


def page(name: str) -> Page:
    return Page(PROJECT / name)


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose first cell is `first`, without its heading."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        for line in text.splitlines()
    ]
    begin = next(number for number, row in enumerate(rows) if row[:1] == [first])
    return list(itertools.takewhile(bool, rows[begin + 2 :]))


PAGES = [
    Page(path)
    for path in sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), PROJECT / "findings" / "README.md"])
]
