"""`scripts/bench beside`: sessions of two clusters that differ in a commit, in settings, or in both.

Both are up at the same time and take turns, as the stores of `scripts/bench sessions` do. Page and load are the same,
but each cluster answers with its own PHP, as a user's site is served. Ratios are those of runs of the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from components.plan.settings import PROJECT_FOLDER
from components.substrates.local.identity import NETWORKS
from scripts.benchmark.report import table
from scripts.benchmark.sessions.load import Visitors
from scripts.benchmark.sessions.measure import MODES, NODES, WORKERS, Sample, check_box, sampled
from scripts.benchmark.sessions.report import PARTS, Results, p99, rate, spread
from scripts.benchmark.sessions.stores import FOLDER, Store
from scripts.benchmark.stack import BenchStack
from scripts.benchmark.words import whole_numbers
from scripts.stack import StackError

HERE, THERE = "here", "there"


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text}: a key and its value, as in debian=12")
    return key, value


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The words of this measurement."""
    beside = commands.add_parser("beside", help="sessions of this commit beside another one, or beside other settings")
    beside.set_defaults(measure=run)
    beside.add_argument("--commit", help="what the other cluster is built from (default: this checkout)")
    for name, whose in ((HERE, "this one's"), (THERE, "the other one's")):
        beside.add_argument(
            f"--{name}", type=_setting, action="append", default=[], metavar="KEY=VALUE", help=f"{whose} settings"
        )
    beside.add_argument("--connections", type=whole_numbers, default=[16], help="requests under way (default: 16)")
    beside.add_argument("--rounds", type=int, default=9, help="of both in turns (default: 9)")
    beside.add_argument("--seconds", type=int, default=4, help="of one run (default: 4)")


@contextlib.contextmanager
def _checkout(commit: str | None) -> Iterator[Path]:
    """A folder with that commit and all that it needs, as a clone of it has."""
    if commit is None:
        yield PROJECT_FOLDER
        return
    with tempfile.TemporaryDirectory(prefix="php-cluster-") as folder:
        checkout = Path(folder) / "checkout"
        # Nothing of this checkout's own tools.
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "VIRTUAL_ENV"))}
        for command in (
            ["git", "clone", "--quiet", "--no-checkout", str(PROJECT_FOLDER), str(checkout)],
            ["git", "-C", str(checkout), "checkout", "--quiet", commit],
            [str(checkout / "scripts" / "toolchain" / "setup"), "dev", "--for-tests"],
        ):
            done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise StackError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        yield checkout


def _environment(checkout: Path) -> dict[str, str]:
    """What that checkout's `scripts/activate` sets."""
    if checkout == PROJECT_FOLDER:
        return {}
    tools = f"{checkout}/.venv/bin:{checkout}/.cluster/bin"
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "VIRTUAL_ENV": f"{checkout}/.venv",
        "PULUMI_HOME": f"{checkout}/.cluster/home",
    }


def _configuration(checkout: Path, settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    usual = {
        "phpNodes": str(len(NODES)),
        "profile": "safe",
        "phpWorkers": str(WORKERS),
        "appDir": str(FOLDER / "site"),
    }
    # Wrk stands for many visitors and has one address. Commits from before there were limits refuse the key.
    if (checkout / "components" / "plan" / "limits.py").exists():
        usual["limits.exempt[0]"] = NETWORKS
    return usual | dict(settings)


class _Cluster:
    def __init__(self, name: str, stack: BenchStack) -> None:
        self._stack = stack
        self._visitors = Visitors(stack.outputs()["floatingIp"], Store(name, {}), NODES, stack.folder)
        self._visitors.begin()

    def sample(self, mode: str, connections: int, seconds: int) -> Sample:
        return sampled(self._stack, self._visitors, mode, connections, seconds)


def _measured(clusters: Sequence[_Cluster], connections: Sequence[int], rounds: int, seconds: int) -> Iterator[Sample]:
    for number in range(rounds):
        # Each begins every other round.
        order = clusters if number % 2 else clusters[::-1]
        for some in connections:
            for mode in MODES:
                for cluster in order:
                    yield cluster.sample(mode, some, seconds)


def _cpu(sample: Sample) -> float:
    """Of all machines, in milliseconds a request."""
    return 1000 * sample.cpu_in_all


def _part(name: str) -> Callable[[Sample], float]:
    return lambda sample: 1000 * sample.cpu.get(name, 0.0)


def _rest(sample: Sample) -> float:
    return _cpu(sample) - sum(1000 * sample.cpu.get(part, 0.0) for part in PARTS)


FIGURES: Mapping[str, tuple[Callable[[Sample], float], int]] = {
    "requests/s": (rate, 0),
    "p99, ms": (p99, 1),
    "CPU, ms a request": (_cpu, 2),
    **{f"  of which {part}": (_part(part), 3) for part in PARTS},
    "  of which the rest": (_rest, 3),
}


def comparison(samples: Sequence[Sample]) -> str:
    """Each figure of both clusters, and here by there."""
    results = Results(samples)
    rows = []
    for mode, connections in dict.fromkeys((sample.mode, sample.connections) for sample in samples):
        for title, (figure, digits) in FIGURES.items():
            here, there = ([figure(each) for each in results.groups[mode, connections, name]] for name in (HERE, THERE))
            if not any([*here, *there]):
                continue
            ratios = [one / other if other else math.inf for one, other in zip(here, there, strict=True)]
            rows.append(
                [
                    f"{mode}, {connections}: {title}",
                    spread(here, digits),
                    spread(there, digits),
                    spread(ratios, 3),
                    f"{statistics.mean(ratios):.3f}",
                ]
            )
    return table(["pages, connections", HERE, THERE, "here by there", "mean"], rows)


def run(asked: argparse.Namespace) -> int:
    """Measures on two stacks of its own; the exit status."""
    check_box()
    samples = []
    with contextlib.ExitStack() as ending:
        clusters = []
        for name, commit, settings in ((HERE, None, asked.here), (THERE, asked.commit, asked.there)):
            checkout = ending.enter_context(_checkout(commit))
            configuration = _configuration(checkout, settings)
            stack = ending.enter_context(BenchStack(configuration, _environment(checkout), checkout))
            print(f"{name}: made in {stack.up().seconds:.0f} s", flush=True)
            clusters.append(_Cluster(name, stack))
        for sample in _measured(clusters, asked.connections, asked.rounds, asked.seconds):
            samples.append(sample)
            print(sample, flush=True)
    print(
        f"\n{comparison(samples)}\n\nMedians of {asked.rounds} rounds of {asked.seconds} s; every answer was checked."
    )
    return 1 if any(sample.run.failures for sample in samples) else 0
