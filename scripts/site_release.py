"""The releases of the site on the PHP nodes: which are there, which one serves, and the way back to another one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from components.plan.topology import Role
from scripts.machines import Machines, RefusalError, last_line, machines_of, parser_for, says_why

WELL, INCOMPLETE = 0, 1

PROGRAM = "/usr/lib/php-cluster/site-release"
SHOWN_CHARACTERS = 12


@dataclass(frozen=True)
class Release:
    """A release on one node.

    Attributes:
        name: In hexadecimal.
        since: When it was switched to last, in seconds since 1970.
        serves: Whether it serves now.
    """

    name: str
    since: int
    serves: bool


@dataclass(frozen=True)
class Node:
    """What a PHP node has.

    Attributes:
        releases: Those that have served, the last one first.
        problem: Why nothing is known of it; empty if all is well.
    """

    releases: tuple[Release, ...] = ()
    problem: str = ""

    def find(self, name: str) -> Release | None:
        """The release of that name, if the node has it."""
        return next((release for release in self.releases if release.name == name), None)


def releases_in(said: str) -> tuple[Release, ...]:
    """What `site-release list` printed."""
    lines = [line.split() for line in said.splitlines()]
    return tuple(Release(name, int(since), state == "serves") for name, since, state in lines)


def choose(nodes: Mapping[str, Node], wanted: str) -> str:
    """The release to go back to.

    Args:
        nodes: PHP node to what it has; those that do not answer don't count.
        wanted: The beginning of its name; empty for the one that served before.

    Raises:
        RefusalError: it is not clear which, or it is not on every node that answers.
    """
    answering = {name: node for name, node in nodes.items() if not node.problem}
    if not answering:
        raise RefusalError(
            "no PHP node answers: " + "; ".join(f"{name}: {node.problem}" for name, node in nodes.items())
        )
    known = {release.name for node in answering.values() for release in node.releases}
    if wanted:
        fitting = sorted(name for name in known if name.startswith(wanted))
        if len(fitting) != 1:
            there = ", ".join(sorted(name[:SHOWN_CHARACTERS] for name in known)) or "none"
            raise RefusalError(f"{len(fitting) or 'no'} releases begin with {wanted}; there are: {there}")
        [chosen] = fitting
    else:
        serving = {release.name for node in answering.values() for release in node.releases if release.serves}
        if len(serving) != 1:
            raise RefusalError("the nodes serve different releases: say which one they should (scripts/release list)")
        before = [release for node in answering.values() for release in node.releases if not release.serves]
        if not before:
            raise RefusalError("there is no other release that has served")
        chosen = max(before, key=lambda release: release.since).name
    lacking = [name for name, node in answering.items() if not node.find(chosen)]
    if lacking:
        raise RefusalError(f"release {chosen[:SHOWN_CHARACTERS]} is not on {', '.join(lacking)}")
    return chosen


def table(nodes: Mapping[str, Node]) -> str:
    """The releases of all nodes, a line each."""
    lines = []
    for name, node in nodes.items():
        if node.problem:
            lines.append(f"{name:<6} ? {node.problem}")
        elif not node.releases:
            lines.append(f"{name:<6} no release has served yet")
        for release in node.releases:
            since = datetime.fromtimestamp(release.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            state = f"serves since {since}" if release.serves else f"was switched to {since}"
            lines.append(f"{name:<6} {release.name[:SHOWN_CHARACTERS]}  {state}")
    return "\n".join(lines)


def show(nodes: Mapping[str, Node]) -> int:
    """Prints the releases."""
    print(table(nodes))
    serving = {release.name for node in nodes.values() for release in node.releases if release.serves}
    return WELL if len(serving) == 1 and not any(node.problem for node in nodes.values()) else INCOMPLETE


def look(machines: Machines) -> dict[str, Node]:
    """What each PHP node has."""
    return {
        name: Node(releases_in(answer.stdout)) if answer.returncode == 0 else Node(problem=last_line(answer))
        for name, answer in machines.run_on(machines.names(Role.PHP), PROGRAM, "list").items()
    }


def roll_back(machines: Machines, wanted: str) -> int:
    """Switches all nodes to another release, and says what has become of it."""
    found = look(machines)
    chosen = choose(found, wanted)
    absent = {name: node.problem for name, node in found.items() if node.problem}
    there = [name for name in found if name not in absent]
    answers = machines.run_on(there, PROGRAM, "rollback", chosen)
    failed = absent | {name: last_line(answer) for name, answer in answers.items() if answer.returncode != 0}
    done = [name for name in there if name not in failed]
    if done:
        print(f"{', '.join(done)}: release {chosen[:SHOWN_CHARACTERS]} serves")
    for name, problem in failed.items():
        print(f"{name}: {problem}", file=sys.stderr)
    if failed:
        print("pulumi up brings the others to the same release when they answer", file=sys.stderr)
        return INCOMPLETE
    # After all links: a worker may take its time to end.
    restarted = machines.run_on(done, PROGRAM, "restart-workers")
    problems = {name: last_line(answer) for name, answer in restarted.items() if answer.returncode != 0}
    for name, problem in problems.items():
        print(f"{name}: its workers were not restarted: {problem}", file=sys.stderr)
    return INCOMPLETE if problems else WELL


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("release", "The releases of the site.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="which are there, and which one serves")
    rollback = commands.add_parser("rollback", help="go back to the one that served before, or to RELEASE")
    rollback.add_argument("release", nargs="?", default="", metavar="RELEASE", help="its name, or the beginning of it")
    asked = parser.parse_args()
    with machines_of(asked.stack) as machines:
        return show(look(machines)) if asked.command == "list" else roll_back(machines, asked.release)


if __name__ == "__main__":
    sys.exit(main())
