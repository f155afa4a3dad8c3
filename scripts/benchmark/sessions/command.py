"""`scripts/bench sessions`: what the command line asks for, and where the results go."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from components.plan.settings import PROJECT_FOLDER
from scripts.benchmark.sessions import measure, picture, report
from scripts.benchmark.sessions.stores import STORES, USUAL
from scripts.benchmark.stack import BenchStack
from scripts.benchmark.words import whole_numbers

DISKS = {"file": "", "memory": "/dev/shm"}  # noqa: S108
"""The folder for disks' images that the lab is told; empty: each machine's own."""


def _stores(text: str) -> list[str]:
    unknown = set(names := text.split(",")) - STORES.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"no store: {', '.join(sorted(unknown))}; there are {', '.join(STORES)}")
    return names


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The words of this measurement."""
    sessions = commands.add_parser("sessions", help="what a session costs, on local disk, Redis and Gluster")
    sessions.set_defaults(measure=run)
    sessions.add_argument("--stores", type=_stores, default=list(USUAL), help=f"default: {','.join(USUAL)}")
    sessions.add_argument(
        "--connections", type=whole_numbers, default=[1, 16, 64], help="requests under way (default: 1,16,64)"
    )
    sessions.add_argument("--rounds", type=int, default=5, help="of all stores in turns (default: 5)")
    sessions.add_argument("--seconds", type=int, default=4, help="of one run (default: 4)")
    sessions.add_argument(
        "--disks",
        choices=list(DISKS),
        default="file",
        help="what the bricks' disks are: files, whose box has one disk for all of them, or memory (default: file)",
    )
    sessions.add_argument(
        "--output",
        type=Path,
        default=PROJECT_FOLDER / ".cluster" / "bench",
        help="folder for figures and picture (default: .cluster/bench)",
    )


def _say(text: str) -> None:
    print(text, flush=True)


def run(asked: argparse.Namespace) -> int:
    """Measures on a stack of its own; the exit status."""
    measure.check_box()
    asked.output.mkdir(parents=True, exist_ok=True)
    stores = [STORES[name] for name in asked.stores]
    conditions = {**measure.box(), "disks": asked.disks}
    with BenchStack(measure.configuration(), {"PHP_CLUSTER_LAB_DISKS": DISKS[asked.disks]}) as stack:
        _say(f"2+{len(measure.NODES)} machines made in {stack.up().seconds:.0f} s")
        samples, counts = measure.measure(
            stack, stores, connections=asked.connections, rounds=asked.rounds, seconds=asked.seconds, say=_say
        )
    results = report.Results(samples)
    for part in (report.speed_table(results), report.parts_table(results), report.operations_table(counts)):
        if part:
            _say(f"\n{part}")
    _say(f"\n{report.targets(results)}")
    if price := report.price_of_tls(results):
        _say(price)
    wrong = report.failures(samples)
    if wrong:
        _say(f"safe gave {wrong} wrong answers: it must not")
    told = (
        f"{asked.rounds} rounds of {asked.seconds} s on {conditions['cores']} cores, disks: {asked.disks},"
        f" {conditions['time']}"
    )
    svg, figures = asked.output / "sessions.svg", asked.output / "sessions.json"
    svg.write_text(picture.prices(samples, f"php-cluster, what a session costs: {told}"))
    figures.write_text(json.dumps(report.as_json(samples, counts, conditions), indent=1) + "\n")
    _say(f"\nMedians of {told}; every answer was checked.\nPicture: {svg}\nFigures: {figures}")
    return 1 if wrong else 0
