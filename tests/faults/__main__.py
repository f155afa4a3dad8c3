"""`scripts/faults`: which faults, on which profiles, and where the results go."""

from __future__ import annotations

import argparse
import gzip
import json
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.commands import PROJECT
from tests.faults import faults, picture, report, trial
from tests.faults.faults import Fault
from tests.faults.report import Row
from tests.faults.rig import Rig, configuration
from tests.faults.trial import Trial
from tests.stack.cluster import Cluster

STACK = "faults"

RESULTS = PROJECT / ".cluster" / "faults"
"""A folder for each seed, and the states of the stacks."""


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description="Breaks a cluster of its own in every known way."
    )
    parser.add_argument("--profile", choices=["safe", "article", "both"], default="both", help="(default: both)")
    parser.add_argument("--fault", nargs="+", metavar="NAME", help="those alone (default: all)")
    parser.add_argument("--quick", action="store_true", help="those that CI tries")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how often each (default: 1)")
    parser.add_argument(
        "--seed", default=secrets.token_hex(3), help="repeats an earlier run's moments, and adds to its results"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leaves the machines, and uses those that an earlier run left"
    )
    parser.add_argument("--report", action="store_true", help="tries nothing, reports what there is of the seed")
    parser.add_argument("--list", action="store_true", help="names the faults")
    return parser.parse_args(words)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def _rig(profile: str, keep: bool) -> Iterator[Rig]:
    """A cluster for as long as the block lasts, or longer."""
    backend = RESULTS / f"state-{profile}"
    cluster = Cluster(backend, configuration(profile), STACK, exists=backend.exists())
    try:
        cluster.up()
        yield Rig(cluster)
    finally:
        if not keep:
            cluster.remove()
            shutil.rmtree(backend)


def _try_all(chosen: Sequence[Fault], profile: str, asked: argparse.Namespace, folder: Path) -> None:
    with _rig(profile, asked.keep) as rig:
        for seed in [f"{asked.seed}-{number}" for number in range(1, asked.times + 1)]:
            for fault in chosen:
                try:
                    done = trial.run(rig, fault, profile, seed)
                except AssertionError as problem:
                    _say(f"{fault.name} could not be tried: {problem}")
                    rig.make_anew()
                    continue
                with gzip.open(folder / f"{profile}-{fault.name}-{seed}.json.gz", "wt") as file:
                    json.dump(done.to_json(), file)
                _say(report.table([report.row(done)]))
                if done.beyond_repair:
                    _say(f"The cluster is made anew, since {'; '.join(done.beyond_repair)}.")
                    rig.make_anew()


def _results(folder: Path) -> list[Row]:
    """Everything that is stored of one seed."""
    rows = []
    for path in folder.glob("*.json.gz"):
        with gzip.open(path, "rt") as file:
            rows.append(report.row(Trial.from_json(json.load(file))))
    return report.ordered(rows)


def _report(folder: Path) -> list[Row]:
    rows = _results(folder)
    (folder / "report.json").write_text(json.dumps([row.to_json() for row in rows], indent=2) + "\n")
    text = f"{report.table(rows)}\n\n{report.LEGEND}\n\n{report.summary(rows)}\n"
    (folder / "report.txt").write_text(text)
    for name in {row.trial.fault for row in rows}:
        (folder / f"{name}.svg").write_text(picture.timeline([row for row in rows if row.trial.fault == name]))
    _say(f"\n{text}\nReport and pictures: {folder}")
    return rows


def main(words: Sequence[str] | None = None) -> int:
    """Tries the faults that the command line asks for.

    The exit status: 0, or 1 when `safe` has broken its promise, or when a fault could not be tried.
    """
    asked = _arguments(words)
    if asked.list:
        _say("\n".join(f"{fault.name}, for {fault.seconds:g} s" for fault in faults.FAULTS))
        return 0
    try:
        chosen = faults.named(asked.fault or (list(faults.QUICK) if asked.quick else [f.name for f in faults.FAULTS]))
    except ValueError as problem:
        _say(str(problem))
        return 2
    folder = RESULTS / asked.seed
    folder.mkdir(parents=True, exist_ok=True)
    profiles = ["safe", "article"] if asked.profile == "both" else [asked.profile]
    if not asked.report:
        _say(f"seed {asked.seed}")
        for profile in profiles:
            _try_all(chosen, profile, asked, folder)
    rows = _report(folder)
    tried = {(row.trial.profile, row.trial.fault) for row in rows}
    wanted = [(profile, fault.name) for profile in profiles for fault in chosen]
    missing = [f"{name} on {profile}" for profile, name in wanted if (profile, name) not in tried]
    if missing:
        _say(f"Not tried: {', '.join(missing)}")
    broken = any(row.verdict.violations for row in rows if row.trial.profile == "safe")
    return 1 if broken or missing else 0


if __name__ == "__main__":
    sys.exit(main())
