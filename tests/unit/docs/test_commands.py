"""What pages tell to type can be typed: commands, options, keys and paths are there."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.plan.settings import declared_defaults
from tests.commands import PROJECT
from tests.faults.faults import Fault
from tests.unit.docs.pages import PAGES, Page, page, table

MAKEFILE = (PROJECT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\(([A-Z]+)\)", MAKEFILE))

SOURCES = {
    "status": "scripts/cluster_status.py",
    "release": "scripts/site_release.py",
    "sessions": "scripts/cluster_sessions.py",
    "faults": "tests/faults/__main__.py",
}
"""Where scripts that only start Python have their options."""

PLACES = re.compile(r"(?:components|scripts|tests|docs|findings|app|\.github)/[\w./-]+")
OF_PHP = {"tests/output"}
"""In PHP's own source."""

PLACEHOLDERS = re.compile(r"NAME|ROOM|STACK|KEY|…")


def lines(where: Page) -> Iterator[str]:
    """Each line of code, without what follows on it for a reader."""
    yield from where.spans
    for _, block in where.blocks:
        for line in block.splitlines():
            yield line.split(" #")[0].removeprefix("$ ")


def commands(where: Page, program: str) -> Iterator[list[str]]:
    """The words after each call of the program."""
    for line in lines(where):
        for found in re.finditer(rf"(?:^|[\s;&|]){program}(?=\s|$)([^;&|]*)", line):
            yield found[1].split()


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_make_knows_what_it_is_told(where: Page) -> None:
    words = [word for line in commands(where, "make") for word in line]
    unknown = {word for word in words if "=" not in word and word not in {*TARGETS, "COMMAND"}}
    unknown |= {
        word for word in words if "=" in word and word.partition("=")[0] not in {*VARIABLES, "OFFICIAL_PLUGINS"}
    }
    assert unknown == set()


def wrong_in(script: str, words: list[str]) -> list[str]:
    """Options that the script's source does not have, and first words that its head does not show."""
    path = PROJECT / script
    source = path.read_text() + Path(PROJECT / SOURCES.get(path.name, script)).read_text()
    wrong = [word for word in words if word.startswith("--") and word.partition("=")[0] not in source]
    first = next(iter(words), "")
    if re.fullmatch(r"[a-z]+", first) and not re.search(rf"^#.*\b{path.name}\b.*\b{first}\b", source, re.MULTILINE):
        wrong.append(first)
    return wrong


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_scripts_are_there_with_their_options(where: Page) -> None:
    wrong = []
    for line in lines(where):
        for script, rest in re.findall(r"(?:^|[\s;&|])(scripts/[\w/-]+)(?=\s|$)([^;&|]*)", line):
            if not (PROJECT / script).exists():
                wrong.append(script)
            elif (PROJECT / script).is_file():
                wrong += [f"{script} {word}" for word in wrong_in(script, rest.split())]
    assert wrong == []


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_modules_are_there(where: Page) -> None:
    for _, module, *_ in (line for line in commands(where, "python") if line[:1] == ["-m"]):
        path = PROJECT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_paths_are_there(where: Page) -> None:
    paths = [span for span in where.spans if PLACES.fullmatch(span) and not PLACEHOLDERS.search(span)]
    # In the site's own folder, examples are its reader's.
    missing = {path for path in paths if not (PROJECT / path).exists() and not path.startswith("app/")}
    assert missing - OF_PHP == set()


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_keys_are_there(where: Page) -> None:
    """Those that are set, and each word in backticks that is spelt as a key."""
    keys = {re.split(r"[.\[]", word.strip("'\""))[0] for word in keys_set(where)}
    text = "\n".join(block for _, block in where.blocks) + "\n".join(where.spans)
    keys |= set(re.findall(r"php-cluster:([a-z]\w*)", text)) - {"stack", "role", "cluster"}
    assert {key for key in keys if ":" not in key} - {*declared_defaults(), "KEY", "…"} == set()


def keys_set(where: Page) -> Iterator[str]:
    for line in commands(where, "pulumi config set"):
        words = [word for word in line if not word.startswith("--")]
        yield from words[:1]


def test_the_lab_has_what_readme_lists() -> None:
    [row] = [row for row in table(page("README.md").section("## Operate"), "command") if row[0] == "`scripts/lab/…`"]
    for name in re.findall(r"`([a-z-]+)`", row[1]):
        assert (PROJECT / "scripts" / "lab" / name).exists(), name


def test_a_fault_has_the_fields_that_contributing_names() -> None:
    [line] = [line for line in page("CONTRIBUTING.md").section("## Add a fault").splitlines() if line.startswith("2. ")]
    named = set(re.findall(r"`(\w+)`", line))
    assert named
    assert named <= {field.name for field in dataclasses.fields(Fault)}
