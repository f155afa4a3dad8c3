"""`scripts/compare-plugins`: the same with the official plugins and with the stand-ins, and every difference."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.official import report
from tests.official.conformance import run_tests
from tests.official.differences import Difference, differences
from tests.official.life import Life, PluginSet
from tests.plugins.engine import Engine


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/compare-plugins", description=__doc__)
    parser.add_argument("official", type=Path, metavar="FOLDER", help="pulumi-resource-command and -random lie there")
    parser.add_argument("standins", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["tests", "stack"], help="the conformance tests, or the life of a stack")
    parser.add_argument("--select", default="", metavar="EXPRESSION", help="only these conformance tests: pytest's -k")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="for the records, secrets of gone machines included"
    )
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Compares, and says how many differences nobody has explained."""
    arguments = _arguments(words)
    with contextlib.ExitStack() as cleaned:
        folder = arguments.keep or Path(cleaned.enter_context(tempfile.TemporaryDirectory(prefix="php-cluster-")))
        folder.mkdir(exist_ok=True, mode=0o700)
        official = _install("official", arguments.official.resolve(), folder)
        standins = _install("stand-ins", arguments.standins.resolve(), folder)
        found: list[Difference] = []
        surprises: list[str] = []
        if arguments.only != "stack":
            recorded = [run_tests(plugins, folder / "tests", arguments.select) for plugins in (official, standins)]
            found += _compared("conformance", recorded, folder)
        if arguments.only != "tests":
            lives = []
            for plugins, others in ((official, standins), (standins, official)):
                life = Life(plugins, others, folder / f"life-{plugins.name}")
                life.live()
                lives.append(life.records)
                surprises += [f"With the plugins {plugins.name}, {text}" for text in life.surprises]
            found += _compared("stack", lives, folder)
    print(report.text(found, surprises))  # noqa: T201 - what the command is for
    return 1 if report.unexplained(found) or surprises else 0


def _install(name: str, executables: Path, folder: Path) -> PluginSet:
    plugins = PluginSet(name, executables, folder / f"home-{name}")
    Engine(folder, plugins.home).install(executables)
    return plugins


def _compared(name: str, recorded: Sequence[Any], folder: Path) -> list[Difference]:
    for side, record in zip(("official", "standins"), recorded, strict=True):
        (folder / f"{name}-{side}.json").write_text(json.dumps(record, indent=2))
    return list(differences(*recorded, name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
