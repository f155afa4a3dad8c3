"""Brings a cluster's machines to another release of Debian, one at a time, while the site is served."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.plan.config_values import NAMESPACE
from components.plan.debian import DEFAULT, RELEASES, Release
from components.plan.topology import BALANCERS, DRAIN_SECONDS, FIRST_NODE, Role
from scripts import floating_ip_switchover
from scripts.cluster_status import Report, examine
from scripts.machines import (
    Machines,
    NoClusterError,
    RefusalError,
    last_line,
    machines_of,
    parser_for,
    says_why,
    script,
)

DONE, ENDED = 0, 1

WELL_SECONDS = 300
"""How long a cluster may take until all is well and healed, before a machine and after it."""

LOOK_SECONDS = 20
"""How long a machine may take to say how it is: others boot beside it."""

HOST_SCRIPT = Path(__file__).parent / "machine_upgrade.sh"


class UpgradeError(Exception):
    """It ends here, with everything serving but for what the text names."""


@dataclass(frozen=True)
class Facts:
    """What the machines run.

    Attributes:
        releases: Machine to the number of its release.
        op_version: Gluster's, of the pool.
        nfs: Whether the volumes' files have a line that GlusterFS 11 leaves out.
    """

    releases: Mapping[str, int]
    op_version: int
    nfs: bool

    def left(self, wanted: Release, active: str) -> list[str]:
        """The machines that run another release, in the order in which they are replaced: the one that is least
        missed first. php1 has the arbiter, which is needed while a brick is away."""
        nodes = sorted((name for name in self.releases if name not in (*BALANCERS, FIRST_NODE)), key=_number)
        spare = [name for name in BALANCERS if name != active]
        order = [*reversed(nodes), *spare, active, FIRST_NODE]
        return [name for name in order if self.releases[name] != wanted.number]


def _number(node: str) -> int:
    return int(node.removeprefix("php"))


def parse(said: Mapping[str, str]) -> Facts:
    """What the machines' `facts` say, by name."""
    words = {name: dict(line.split() for line in text.splitlines()) for name, text in said.items()}
    members = [words[name] for name in BALANCERS]
    return Facts(
        {name: int(facts["release"]) for name, facts in words.items()},
        max(int(facts.get("op_version", 0)) for facts in members),
        any("nfs" in facts for facts in members),
    )


class Config:
    """The stack's config."""

    def __init__(self, stack: str) -> None:
        """Reads it.

        Raises:
            NoClusterError: there is no such stack.
        """
        self._stack = stack
        done = subprocess.run(
            ["pulumi", "config", "--json", "--stack", stack], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise NoClusterError(last_line(done))
        told = json.loads(done.stdout)
        self._values = {key.removeprefix(f"{NAMESPACE}:"): one.get("value") for key, one in told.items()}

    @property
    def wanted(self) -> Release:
        """What all machines are to run.

        Raises:
            RefusalError: nobody knows that release, or the machines are not made by the program on this box.
        """
        if (substrate := self._values.get("substrate") or "local") != "local":
            raise RefusalError(
                f"scripts/upgrade replaces machines of the substrate local, and this stack has {substrate}"
            )
        number = str(self._values.get("debian") or DEFAULT)
        known = {str(each): release for each, release in RELEASES.items()}
        if number not in known:
            raise RefusalError(f"debian is {number}; it must be one of {', '.join(known)}")
        return known[number]

    @property
    def upgrading(self) -> str:
        """The machine that an interrupted run was replacing; empty: none."""
        return self._values.get("upgrading") or ""

    def begin(self, machine: str) -> None:
        """Notes that it is being replaced: from now on `pulumi up` does it."""
        self._change("set", "upgrading", machine)

    def end(self) -> None:
        """Forgets that."""
        self._change("rm", "upgrading")

    def _change(self, *words: str) -> None:
        subprocess.run(["pulumi", "config", *words, "--stack", self._stack], check=True)


def ask(machines: Machines) -> Facts:
    """Asks all machines what they run."""
    return parse(_have(machines, machines.names(), "facts"))


def _have(machines: Machines, names: Sequence[str], call: str, seconds: float = 90) -> dict[str, str]:
    """Has machines, all at once, run a function of the host script; what each says.

    Raises:
        UpgradeError: on one of them it failed; the others have run it.
    """
    answers = machines.run_on(names, "bash", "-s", stdin=f"{HOST_SCRIPT.read_text()}\n{call}\n", seconds=seconds)
    failed = [f"{name}: {last_line(answer)}" for name, answer in answers.items() if answer.returncode != 0]
    if failed:
        raise UpgradeError("; ".join(failed))
    return {name: answer.stdout for name, answer in answers.items()}


def wait_until_well(machines: Machines) -> Report:
    """Waits until status has nothing to complain of: all is healed and serves.

    Raises:
        UpgradeError: it still has.
    """
    deadline = time.monotonic() + WELL_SECONDS
    while (report := examine(machines, LOOK_SECONDS)).problems:
        if time.monotonic() > deadline:
            raise UpgradeError("the cluster is not well: " + "; ".join(report.problems))
        time.sleep(2)
    return report


def active_in(report: Report) -> str:
    """The balancer with the floating IP, of a cluster that is well."""
    [active] = report.floating_ip["owners"]
    return str(active)


def let_go(machines: Machines, name: str) -> None:
    """Has a machine leave in order: no request is on it, and no balancer sends it another one."""
    try:
        if name in BALANCERS:
            _have(machines, [name], "leave")
            return
        _have(machines, BALANCERS, f"drain {name} {DRAIN_SECONDS}")
        _have(machines, [name], "systemctl stop nginx")
        _have(machines, BALANCERS, f"await_down {name}")
    except UpgradeError:
        come_back(machines)
        raise


def come_back(machines: Machines) -> None:
    """Undoes what a run has begun that ended before the engine was asked for another machine."""
    nodes = machines.names(Role.PHP)
    _have(machines, nodes, "systemctl start nginx")
    _have(machines, BALANCERS, "come_back\n" + "".join(f"undrain {node}\n" for node in nodes))


def forget_nfs(machines: Machines) -> None:
    """Takes from the volumes' files what GlusterFS 11 leaves out, while bricks and clients go on."""
    try:
        _have(machines, BALANCERS, "pause_daemon")
    finally:
        _have(machines, BALANCERS, "resume_daemon")


def replace(config: Config, stack: str, name: str) -> None:
    """Has the engine make another machine in its place, and fill it.

    Raises:
        UpgradeError: it could not.
    """
    if config.upgrading != name:
        config.begin(name)
    done = subprocess.run(
        ["pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs", "--stack", stack], check=False
    )
    if done.returncode != 0:
        raise UpgradeError(f"{name} is not finished; its errors are above")
    config.end()


def next_machine(machines: Machines, config: Config) -> str | None:
    """Replaces the next machine, if there is one, and returns its name when all is well with it.

    Raises:
        RefusalError: the release is older than the pool's op-version allows.
        UpgradeError: it failed, or all was not well before.
    """
    report, facts, wanted = wait_until_well(machines), ask(machines), config.wanted
    active = active_in(report)
    left = facts.left(wanted, active)
    if not left:
        return None
    if facts.op_version > wanted.op_version:
        raise RefusalError(
            f"Gluster's op-version is {facts.op_version}, and Debian {wanted.number} has up to {wanted.op_version}: "
            "there is no way back"
        )
    name = left[0]
    _say(f"{name} is replaced by a machine with Debian {wanted.number}; then {len(left) - 1} more")
    if name in BALANCERS and facts.nfs:
        forget_nfs(machines)
        wait_until_well(machines)
    if name == active:
        owner, other = floating_ip_switchover.plan(report)
        if floating_ip_switchover.hand_over(machines, owner, other) != floating_ip_switchover.DONE:
            raise UpgradeError(f"{other} did not take the floating IP")
        wait_until_well(machines)
    let_go(machines, name)
    replace(config, machines.stack, name)
    wait_until_well(machines)
    return name


def finish(machines: Machines, wanted: Release) -> None:
    """Raises Gluster's op-version to that of the release which all machines run."""
    if ask(machines).op_version < wanted.op_version:
        _have(machines, BALANCERS[:1], f"raise_op_version {wanted.op_version}")
        wait_until_well(machines)
        _say(f"Gluster's op-version is {wanted.op_version}")


def _say(text: str) -> None:
    print(text, flush=True)


def stops(main: Callable[[], int]) -> int:
    """The exit status of `main`, which says at which failure it has ended."""
    try:
        return main()
    except UpgradeError as problem:
        print(f"{problem}\nwhen that is mended, the same command goes on", file=sys.stderr)
        return ENDED


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("upgrade", "Machines with another release of Debian, one at a time.")
    parser.add_argument("--dry-run", action="store_true", help="names the machines, and changes nothing")
    parser.add_argument("--one", action="store_true", help="ends after the next machine")
    asked = parser.parse_args()
    return stops(lambda: _upgrade(asked.stack, dry_run=asked.dry_run, one=asked.one))


def _upgrade(stack: str, *, dry_run: bool, one: bool) -> int:
    config = Config(stack)
    wanted = config.wanted
    if config.upgrading and not dry_run:
        _say(f"{config.upgrading}, which an interrupted run has begun, comes first")
        replace(config, stack, config.upgrading)
    with machines_of(stack) as machines:
        if len(machines.names(Role.PHP)) == 1:
            raise RefusalError(
                f"{FIRST_NODE} is the only PHP node, and nobody would serve while it is replaced: "
                "pulumi config set phpNodes 2, and pulumi up"
            )
        if dry_run:
            report, facts = examine(machines, LOOK_SECONDS), ask(machines)
            left = facts.left(wanted, next(iter(report.floating_ip["owners"]), BALANCERS[0]))
            for name in left:
                _say(f"{name}: Debian {facts.releases[name]} -> {wanted.number}")
            _say(f"{len(left)} machines to replace" if left else f"all machines run Debian {wanted.number}")
            return DONE
        come_back(machines)
        while next_machine(machines, Config(stack)):
            if one:
                break
        else:
            finish(machines, wanted)
            _say(f"all machines run Debian {wanted.number}; {script('status', stack)} tells how they are")
    return DONE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
