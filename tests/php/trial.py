"""Tests put to both PHPs, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from tests.php.fastcgi import Answer, Request
from tests.php.phpt import Judgement, Phpt
from tests.php.source import Source

LIMIT = 75.0
"""Seconds for one request: longer than any node waits for a session."""


_LOADED = Phpt("loaded.phpt", {"FILE": b"<?php echo implode(PHP_EOL, get_loaded_extensions());", "EXPECT": b""})
"""Says which extensions there are."""


class Pool(Protocol):
    """Whatever answers requests, with its own copy of the tests in the folder `root`."""

    @property
    def root(self) -> str: ...

    def ask(self, request: Request, limit: float) -> Answer: ...


@dataclass(frozen=True)
class Comparison:
    """What came of some tests, each by its name.

    Attributes:
        stock: What stock PHP made of them.
        product: What the product made of them.
    """

    stock: Mapping[str, Judgement]
    product: Mapping[str, Judgement]

    @property
    def right(self) -> set[str]:
        """Those that stock PHP passes here; the others, skipped ones among them, say nothing."""
        return {name for name, judgement in self.stock.items() if judgement.passed}

    @property
    def worse(self) -> set[str]:
        """Those that stock PHP passes and the product does not."""
        return {name for name in self.right if not self.product[name].passed}

    def __str__(self) -> str:
        return f"{len(self.right - self.worse)} of the {len(self.right)} that stock PHP passes"


def needed(source: Source, patterns: Sequence[str]) -> dict[str, bytes]:
    """All files that a PHP must have to be asked the tests that match the patterns, by name."""
    files = {name: (source.folder / name).read_bytes() for name in source.files(patterns)}
    for test in (_LOADED, *source.tests(patterns)):
        files |= test.files
    return files


def compare(tests: Sequence[Phpt], stock: Pool, product: Pool) -> Comparison:
    """Puts each test to both."""
    # One after the other on each of them, for tests share names of sessions.
    with ThreadPoolExecutor(2) as workers:
        both = workers.map(lambda pool: _judgements(tests, pool), (stock, product))
    return Comparison(*both)


def complaints(found: Comparison, excepted: Iterable[str]) -> list[str]:
    """In what way a list of exceptions is not the truth: a line for each test that it should or should not name."""
    listed = set(excepted)
    said = [
        f"{name} fails, and is no exception:\n{found.product[name].reason}" for name in sorted(found.worse - listed)
    ]
    for name in sorted(listed - found.worse):
        if name not in found.stock:
            said.append(f"{name} is an exception, and there is no such test")
        elif name in found.right:
            said.append(f"{name} is an exception, and passes")
        else:
            said.append(f"{name} is an exception, and stock PHP does not pass it either")
    return said


def report(found: Comparison) -> str:
    """Everything that was not as expected: what the product made of it, then stock PHP."""
    worse = [f"FAILS {name}\n{found.product[name].reason}\n" for name in sorted(found.worse)]
    unfit = [f"SAYS NOTHING {name}\n{found.stock[name].reason}\n" for name in sorted(found.stock.keys() - found.right)]
    return "\n".join([f"{found}\n", *worse, *unfit])


def _judgements(tests: Sequence[Phpt], pool: Pool) -> dict[str, Judgement]:
    present = set(pool.ask(_LOADED.request(pool.root), LIMIT).body.decode().lower().split())
    return {test.name: _put(test, pool, present) for test in tests}


def _put(test: Phpt, pool: Pool, extensions: set[str]) -> Judgement:
    """The test's three requests, those that it has."""
    if missing := set(test.extensions) - extensions:
        return Judgement(False, f"skipped: PHP has no {', '.join(sorted(missing))} here")
    if (asked := test.may_be_skipped(pool.root)) is not None:
        said = _answered(pool, asked)
        if isinstance(said, Judgement):
            return said
        if said.body.lstrip().lower().startswith(b"skip"):
            return Judgement(False, f"skipped: {said.body.decode(errors='backslashreplace').strip()}")
    said = _answered(pool, test.request(pool.root))
    judgement = said if isinstance(said, Judgement) else test.judge(said)
    if (asked := test.cleans_up(pool.root)) is not None:
        _answered(pool, asked)
    return judgement


def _answered(pool: Pool, request: Request) -> Answer | Judgement:
    try:
        return pool.ask(request, LIMIT)
    except TimeoutError:
        return Judgement(False, f"no answer within {LIMIT:.0f} s")
