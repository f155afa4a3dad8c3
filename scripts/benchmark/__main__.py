"""`scripts/bench`: what to measure, in which order, and where the results go."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.plan.settings import PROJECT_FOLDER
from components.substrates.local.settings import Image
from scripts.benchmark import beside, calls, collector, emulated_aws, floor, picture, report, session_log, timeline
from scripts.benchmark.sessions import command as sessions
from scripts.benchmark.ssh_sessions import sessions_of, sessions_table
from scripts.benchmark.stack import BenchStack, Update
from scripts.benchmark.timeline import Span
from scripts.benchmark.words import whole_numbers
from scripts.stack import StackError

FAIR_PLAY = """\
program: the process `pulumi up`, from start to end.
floor: the same machines and the same steps, taken from the program's own state, by plain ssh, as early as their
       dependencies allow. One connection to each machine serves all its steps (ControlMaster); making keys is not
       counted."""


def _images(text: str) -> list[str]:
    return [Image(part).value for part in text.split(",")]


def _substrates(text: str) -> list[str]:
    named = text.split(",")
    if not set(named) <= {"local", "aws"}:
        raise argparse.ArgumentTypeError(f"{text}: local, aws or local,aws")
    return named


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="up | change | sessions | beside | calls | collector | log")
    up = commands.add_parser("up", help="whole clusters, beside the same steps by plain SSH; what AWS is asked for")
    up.set_defaults(measure=measure_up)
    up.add_argument("--nodes", type=whole_numbers, default=[2, 4, 8, 16], help="PHP nodes (default: 2,4,8,16)")
    up.add_argument(
        "--substrates",
        type=_substrates,
        default=["local", "aws"],
        help="local, aws (an emulation: previews, API calls, SSH sessions) or both (default: both)",
    )
    up.add_argument("--images", type=_images, default=["prebuilt"], help="prebuilt, stock or both (default: prebuilt)")
    up.add_argument("--runs", type=int, default=3, help="of each (default: 3)")
    up.add_argument(
        "--output",
        type=Path,
        default=PROJECT_FOLDER / ".cluster" / "bench",
        help="folder for the pictures (default: .cluster/bench)",
    )
    change = commands.add_parser("change", help="one node more, one less, another site, no change")
    change.set_defaults(measure=measure_change)
    change.add_argument("--nodes", type=whole_numbers, default=[2, 4, 8], help="PHP nodes (default: 2,4,8)")
    change.add_argument("--runs", type=int, default=3, help="of each (default: 3)")
    sessions.add_to(commands)
    beside.add_to(commands)
    calls.add_to(commands)
    collector.add_to(commands)
    session_log.add_to(commands)
    return parser.parse_args(words)


def _say(text: str) -> None:
    print(text, flush=True)


def _load() -> str:
    """What else the box is busy with, as far as one number tells."""
    return f"load of the box before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


@dataclass(frozen=True)
class _Run:
    """One run of the program, and the floor's with the same steps."""

    seconds: float
    steps: list[Span]
    floor: list[Span]
    path: list[Span]
    sessions: Counter[str]

    @property
    def floor_seconds(self) -> float:
        return max(span.end for span in self.floor)


def _one_run(image: str, nodes: int) -> _Run:
    with BenchStack({"image": image, "phpNodes": str(nodes)}) as stack:
        update = stack.up()
        state = stack.export()
        stack.remove_machines()
        folder = stack.folder / "floor"
        folder.mkdir(mode=0o700)
        again = floor.run(floor.steps_of(state), folder)
        stack.remove_machines()
    steps = timeline.spans(update.events)
    return _Run(update.seconds, steps, again, timeline.critical_path(steps, floor.needs_of(state)), sessions_of(state))


def _make_image(image: str) -> None:
    begin = time.monotonic()
    with BenchStack({"image": image}) as stack:
        stack.make_image()
    _say(f"The image {image} is there ({time.monotonic() - begin:.0f} s, not counted).")


def measure_up(asked: argparse.Namespace) -> int:
    """What a new cluster takes on each of the substrates; the exit status."""
    status = _measure_local_machines(asked) if "local" in asked.substrates else 0
    if "aws" in asked.substrates:
        _say("\nOn aws, in an emulation:")
        emulated_aws.measure(asked.nodes, asked.runs)
    return status


def _measure_local_machines(asked: argparse.Namespace) -> int:
    """Program and floor in turns; the exit status."""
    asked.output.mkdir(parents=True, exist_ok=True)
    pairs, refused = [], []
    sessions: dict[str, Counter[str]] = {}
    for image in asked.images:
        try:
            _make_image(image)
        except StackError as problem:
            refused.append(f"The program could not make the image {image}, which is left out.\n{problem}")
            continue
        for nodes in asked.nodes:
            runs = []
            for number in range(asked.runs):
                load = _load()
                run = _one_run(image, nodes)
                runs.append(run)
                _say(
                    f"{image} 2+{nodes}, run {number + 1} of {asked.runs}: "
                    f"program {run.seconds:.1f} s, floor {run.floor_seconds:.1f} s ({load})"
                )
            pair = report.Pair(image, nodes, [run.seconds for run in runs], [run.floor_seconds for run in runs])
            pairs.append(pair)
            sessions[f"{image} 2+{nodes}"] = runs[-1].sessions
            _show_where_the_time_goes(pair, runs, asked.output)
    if pairs:
        _say(f"\n{report.up_table(pairs)}\n\n{FAIR_PLAY}\n\n{sessions_table(sessions)}")
    for refusal in refused:
        _say(f"\n{refusal}")
    return 1 if refused else 0


def _show_where_the_time_goes(pair: report.Pair, runs: Sequence[_Run], output: Path) -> None:
    middle = statistics.median_low(pair.program)
    run = next(run for run in runs if run.seconds == middle)
    program = timeline.with_engine(run.steps, run.seconds)
    title = f"{pair.image} 2+{pair.nodes}"
    svg = output / f"up-{pair.image}-2+{pair.nodes}.svg"
    svg.write_text(
        picture.timelines(
            {
                f"program: pulumi up, {run.seconds:.1f} s": program,
                f"floor: the same steps by plain ssh, {run.floor_seconds:.1f} s": run.floor,
            },
            f"php-cluster, {title} machines",
        )
    )
    _say(f"\n{title}: where the time goes, in the run of {run.seconds:.1f} s")
    _say(report.kinds_table(program, run.floor))
    _say(f"\n{report.path_table(run.path, run.seconds)}")
    _say(f"\nPicture: {svg}\n")


def measure_change(asked: argparse.Namespace) -> int:
    """Changes to running clusters; the exit status."""
    changes = []
    for nodes in asked.nodes:
        with BenchStack({"phpNodes": str(nodes)}) as stack:
            site = stack.folder / "app"
            shutil.copytree(PROJECT_FOLDER / "app", site)
            stack.configure({"appDir": str(site)})
            _say(f"2+{nodes}: made in {stack.up().seconds:.1f} s ({_load()})")
            updates: dict[str, list[Update]] = {}
            for number in range(asked.runs):
                for name, prepare in _changes(stack, site, nodes, number).items():
                    load = _load()
                    prepare()
                    update = stack.up()
                    updates.setdefault(name, []).append(update)
                    _say(f"2+{nodes}, {name}, run {number + 1} of {asked.runs}: {update.seconds:.1f} s ({load})")
        changes += [
            report.Change(name, nodes, [update.seconds for update in same], timeline.touched(same[-1].events))
            for name, same in updates.items()
        ]
    _say(f"\n{report.change_table(changes)}\n\n{report.change_targets(changes)}")
    return 0


def _changes(stack: BenchStack, site: Path, nodes: int, number: int) -> dict[str, Callable[[], object]]:
    """In this order each change starts from `nodes` PHP nodes but the removal, which undoes the addition."""
    return {
        report.NOTHING: lambda: None,
        report.ADD: lambda: stack.configure({"phpNodes": str(nodes + 1)}),
        report.REMOVE: lambda: stack.configure({"phpNodes": str(nodes)}),
        report.SITE: lambda: (site / "release.txt").write_text(f"release {number}\n"),
    }


def _interrupt(signal_number: int, frame: object) -> None:
    # Whoever listens to Ctrl-C, asyncio too, ends what it began.
    signal.raise_signal(signal.SIGINT)


def main() -> int:
    """Measures what the command line asks for; the exit status."""
    # Ends as with Ctrl-C, so that the machines go. That one is ignored in what a script starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    asked = _arguments(sys.argv[1:])
    try:
        status: int = asked.measure(asked)
    except (StackError, floor.FloorError) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the machines are gone.", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
