"""Prints the failed tests of pytest's XML reports: name, lines of the traceback that lie here, what was asserted.

    python3 -m scripts.failed_tests REPORT.xml…

Prints at most 6,000 characters, since CI services show the end of a long log. Failures with the same text, such as
those of a fixture that many tests share, are printed once.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

MOST_CHARACTERS = 6_000
_FAILURE_CHARACTERS = 1_500
_BETWEEN = "\n\n"
_LINE_CHARACTERS = 300


def failures(reports: Iterable[Path]) -> dict[str, list[str]]:
    """What was asserted, to the names of the tests that failed with it."""
    found: dict[str, list[str]] = {}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest
            name = "::".join(part for part in (case.get("file"), case.get("name")) if part)
            for problem in (*case.findall("failure"), *case.findall("error")):
                found.setdefault(_asserted(problem.text or ""), []).append(name)
    return found


def _asserted(trace: str) -> str:
    """The places in tests/ and the lines that pytest marks with E; all of a trace that has none."""
    places = dict.fromkeys(re.findall(r"^(?:tests|scripts|components)/\S+?:\d+(?=:)", trace, re.MULTILINE))
    lines = re.findall(r"^E   (.*)", trace, re.MULTILINE) or trace.splitlines()
    said = textwrap.dedent("\n".join(line[:_LINE_CHARACTERS] for line in lines))
    return f"{', '.join(places)}\n{said}".strip()


def text_of(found: dict[str, list[str]]) -> str:
    """All failures, each with its share of the characters: the beginning and the end of what is longer."""
    share = min(_FAILURE_CHARACTERS, MOST_CHARACTERS // max(1, len(found)))
    texts = []
    for asserted, names in found.items():
        name = f"FAILED {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        texts.append(f"{name}\n{_shortened(asserted, share - len(name) - len(_BETWEEN))}".strip())
    return _BETWEEN.join(texts)[:MOST_CHARACTERS]


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    mark = "\n[…]\n"
    tail = max(0, most - len(mark)) // 3
    return text[: 2 * tail] + mark + text[len(text) - tail :] if tail else ""


if __name__ == "__main__":
    if found := failures(map(Path, sys.argv[1:])):
        print(text_of(found))
