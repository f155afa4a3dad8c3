"""`python -m tests.model`: the holes with their schedules; with arguments, an exploration as far as one likes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.model.holes import HOLES, explored
from tests.model.session_log.state import ALL, FAULTS, RULES, Bounds


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--services", type=int, default=2)
    parser.add_argument("--requests", type=int, default=1)
    parser.add_argument("--segments", type=int, default=3)
    parser.add_argument("--faults", type=int, help="how many; without it, the holes are shown")
    parser.add_argument(
        "--kinds", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="KIND", help="of faults: %(choices)s"
    )
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument(
        "--without", nargs="+", choices=RULES, default=[], metavar="RULE", help="rules left out: %(choices)s"
    )
    parser.add_argument(
        "--appended", action="store_true", help="segments grow; otherwise they are allocated at full length"
    )
    parser.add_argument("--turns-look", action="store_true", help="a turn needs a look-up alone")
    parser.add_argument("--leases", action="store_true", help="a turn within a lease needs nothing")
    parser.add_argument("--fence", action="store_true", help="one fdatasync more at the end of a commit")
    parser.add_argument("--limit", type=int, default=50_000_000, metavar="STATES")
    return parser.parse_args(words)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _holes() -> None:
    rows = []
    for hole in HOLES:
        result = hole.explored()
        rows.append(hole.row(result))
        _say(f"\n{hole.name}\nwithout {', '.join(hole.without)}: {result.states:,} states")
        given = "\n".join(f"  -. {step}" for step in hole.given)
        _say("\n".join(filter(None, [given, str(result.found)])))
    _say("\n| without | hole | faults | steps | what is wrong |\n| --- | --- | --- | --- | --- |\n" + "\n".join(rows))


def main(words: Sequence[str] | None = None) -> int:
    """Shows the holes, or explores; returns 1 if a violation was found."""
    chosen = _arguments(words)
    if chosen.faults is None:
        _holes()
        return 0
    bounds = Bounds(
        services=chosen.services,
        requests=chosen.requests,
        segments=chosen.segments,
        faults=chosen.faults,
        kinds=frozenset(chosen.kinds),
        repeats=chosen.repeats,
        appended=chosen.appended,
        fence=chosen.fence,
        turns_look=chosen.turns_look,
        leases=chosen.leases,
        rules=ALL - set(chosen.without),
    )
    began = time.process_time()
    result = explored(bounds, limit=chosen.limit)
    took = time.process_time() - began
    extent = "all of them" if result.complete else "not all"
    _say(f"{result.states:,} states ({extent}), {result.steps:,} steps, depth {result.depth}, {took:.0f} s of CPU time")
    _say(str(result.found) if result.found else "nothing found")
    return 1 if result.found else 0


if __name__ == "__main__":
    sys.exit(main())
