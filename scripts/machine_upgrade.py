"""Brings a cluster's machines to another release of Debian, one at a time, while the site is served."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.plan.config_values import NAMESPACE
from components.plan.debian import RELEASES, Release
from components.plan.settings import PROJECT_FOLDER
from components.plan.topology import BALANCERS, DRAIN_SECONDS, FIRST_NODE, Role
from scripts import floating_ip_switchover
from scripts.cluster_status import Report, certificate_problems, examine
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

UPDATE_SECONDS = 1800
"""How long a machine may take to ask for packages, or to install them."""

RELEASE_SECONDS = 3600
"""How long it may take to install another release."""

BOOT_SECONDS = 300

LOOK_SECONDS = 20
"""How long a machine may take to say how it is: others boot beside it."""

CHANGE_RELEASE = ("local", "existing")
"""The substrates whose machines get another release."""

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
        begun: The machines on which the upgrade in place to another release has begun, and not ended.
    """

    releases: Mapping[str, int]
    op_version: int
    nfs: bool
    begun: tuple[str, ...] = ()

    def left(self, wanted: Release, active: str) -> list[str]:
        """The machines that run another release, in the order in which they change it."""
        return [name for name in in_order(self.releases, active) if self.releases[name] != wanted.number]


def in_order(names: Collection[str], active: str) -> list[str]:
    """All machines, the one that is least missed first. php1 has the arbiter, which is needed while a brick is away."""
    nodes = sorted((name for name in names if name not in (*BALANCERS, FIRST_NODE)), key=_number)
    spare = [name for name in BALANCERS if name != active]
    return [*reversed(nodes), *spare, active, FIRST_NODE]


def _number(node: str) -> int:
    return int(node.removeprefix("php"))


@dataclass(frozen=True)
class Updates:
    """What apt would upgrade on a machine.

    Attributes:
        packages: How many.
        security: How many of them for security.
        restart: Whether a program runs of which the disk has another version already.
        boot: Another one after a reboot.
    """

    packages: int
    security: int
    restart: bool
    boot: str

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return self.packages > 0 or self.restart

    def __str__(self) -> str:
        """For a person."""
        told = f"{self.packages} updates, {self.security} of them security"
        return f"{told}; restart needed" if self.restart else told


def parse_updates(said: str) -> Updates:
    """What a machine's `updates` say."""
    words = dict(line.split() for line in said.splitlines())
    return Updates(int(words["packages"]), int(words["security"]), words["restart"] == "1", words["boot"])


def parse(said: Mapping[str, str]) -> Facts:
    """What the machines' `facts` say, by name."""
    words = {name: dict(line.split() for line in text.splitlines()) for name, text in said.items()}
    members = [words[name] for name in BALANCERS]
    return Facts(
        {name: int(facts["release"]) for name, facts in words.items()},
        max(int(facts.get("op_version", 0)) for facts in members),
        any("nfs" in facts for facts in members),
        tuple(name for name, facts in words.items() if "begun" in facts),
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
    def substrate(self) -> str:
        """What the machines are made of."""
        return str(self._values.get("substrate", "local"))

    @property
    def is_in_place(self) -> bool:
        """Whether a machine stays when it changes its release: those of others do."""
        return self.substrate == "existing"

    def wanted(self, facts: Facts) -> Release | None:
        """What all machines are to run: what is set, or else what they have. None: each stays at its own.

        Raises:
            RefusalError: nobody knows that release, or nothing is set and machines of this box run two.
        """
        if self.substrate not in CHANGE_RELEASE:
            return None
        known = {str(each): release for each, release in RELEASES.items()}
        number = str(self._values.get("debian") or "")
        if not number:
            running = sorted(set(facts.releases.values()))
            if len(running) > 1 and self.is_in_place:
                return None
            if len(running) > 1:
                raise RefusalError(
                    f"machines run Debian {' and '.join(map(str, running))}, and nothing says which all are to run: "
                    f"pulumi config set debian {running[-1]}"
                )
            number = str(running[0])
        if number not in known:
            raise RefusalError(
                f"debian is {number}, and must be one of {', '.join(known)}: pulumi config set debian {max(known)}"
            )
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
    """Waits until status has nothing to complain of that hinders: all is healed and serves.

    Raises:
        UpgradeError: it still has.
    """
    deadline = time.monotonic() + WELL_SECONDS
    while problems := hindrances(report := examine(machines, LOOK_SECONDS)):
        if time.monotonic() > deadline:
            raise UpgradeError("the cluster is not well: " + "; ".join(problems))
        time.sleep(2)
    return report


def hindrances(report: Report) -> Sequence[str]:
    """What has to be mended before another machine is away.

    Updates do not wait for a CA that refuses, or is away. But a new balancer takes the certificate from the other one
    before that one goes.
    """
    if len(set(report.certificate_of_ca.values())) > 1:
        return report.problems
    others = set(certificate_problems(report))
    return [problem for problem in report.problems if problem not in others]


def active_in(report: Report) -> str:
    """The balancer with the floating IP, of a cluster that is well."""
    [active] = report.floating_ip["owners"]
    return str(active)


def let_go(machines: Machines, name: str) -> None:
    """Has a machine leave in order: no balancer sends it another request, and those that it had have had their time."""
    try:
        if name in BALANCERS:
            _have(machines, [name], "leave")
        else:
            let_go_node(machines, name)
    except UpgradeError:
        # Why it ends is to be said, and not what else goes wrong then.
        with contextlib.suppress(UpgradeError):
            come_back(machines)
        raise


def let_go_node(machines: Machines, name: str) -> None:
    """The same of a PHP node."""
    drain(machines, name)
    _have(machines, [name], "systemctl stop nginx")
    _have(machines, BALANCERS, f"await_down {name}")


def drain(machines: Machines, node: str) -> None:
    """Keeps new requests from a node while it answers those that it has, and says so if some are left."""
    for said in _have(machines, BALANCERS, f"drain {node} {DRAIN_SECONDS}").values():
        if said:
            _say(said.strip())


def pass_on(machines: Machines, report: Report) -> None:
    """Has the other balancer take the floating IP."""
    owner, other = floating_ip_switchover.plan(report)
    if floating_ip_switchover.hand_over(machines, owner, other) != floating_ip_switchover.DONE:
        raise UpgradeError(f"{other} did not take the floating IP")
    wait_until_well(machines)


def come_back(machines: Machines) -> None:
    """Undoes what a run has begun that ended before the engine was asked for another machine."""
    nodes = machines.names(Role.PHP)
    _have(machines, nodes, "serve_again")
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
    run_steps(stack, name)
    config.end()


def run_steps(stack: str, name: str) -> None:
    """Has the engine run what steps a machine lacks.

    Raises:
        UpgradeError: one failed.
    """
    done = subprocess.run(
        ["pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs", "--stack", stack], check=False
    )
    if done.returncode != 0:
        raise UpgradeError(f"{name} is not finished; its errors are above")


def upgrade_in_place(machines: Machines, name: str, has: Release, wanted: Release) -> None:
    """Has apt bring a machine to another release, and the engine run the steps that see it changed.

    Raises:
        UpgradeError: it failed; if apt had begun, the machine serves no more until it is run again.
    """
    before = _have(machines, [name], "boot", LOOK_SECONDS)[name].split()[-1]
    said = _have(machines, [name], f"to_release {has.number} {has.suite} {wanted.suite}", RELEASE_SECONDS)[name]
    if said.endswith("reboots\n"):
        wait_for_boot(machines, name, before)
    run_steps(machines.stack, name)
    _have(machines, [name], "arrived")


def next_machine(machines: Machines, config: Config) -> str | None:
    """Brings the next machine to another release, if there is one, and returns its name when all is well with it.

    Raises:
        RefusalError: the release is older than the pool's op-version allows, or apt, or nobody has said which.
        UpgradeError: it failed, or all was not well before.
    """
    if config.substrate not in CHANGE_RELEASE:
        return None
    report, facts = wait_until_well(machines), ask(machines)
    active, wanted = active_in(report), config.wanted(facts)
    if not wanted or not (left := facts.left(wanted, active)):
        return None
    if facts.op_version > wanted.op_version:
        raise RefusalError(
            f"Gluster's op-version is {facts.op_version}, and Debian {wanted.number} has up to {wanted.op_version}: "
            f"there is no way back; pulumi config set debian {max(facts.releases.values())}"
        )
    name = left[0]
    has = RELEASES[facts.releases[name]]
    if config.is_in_place and has.number > wanted.number:
        raise RefusalError(
            f"{name} runs Debian {has.number}, and apt leads to no older release: pulumi config set debian {has.number}"
        )
    becomes = "is upgraded in place to" if config.is_in_place else "is replaced by a machine with"
    _say(f"{name} {becomes} Debian {wanted.number}; then {len(left) - 1} more")
    if name in BALANCERS and facts.nfs:
        forget_nfs(machines)
        wait_until_well(machines)
    if name == active:
        pass_on(machines, report)
    if config.is_in_place:
        begin_in_place(machines, name, has, wanted)
    else:
        let_go(machines, name)
        replace(config, machines.stack, name)
    wait_until_well(machines)
    return name


def begin_in_place(machines: Machines, name: str, has: Release, wanted: Release) -> None:
    """Upgrades a machine in place. A balancer and its brick serve until it boots, as the other one serves then."""
    try:
        if name not in BALANCERS:
            let_go_node(machines, name)
        upgrade_in_place(machines, name, has, wanted)
    except UpgradeError:
        with contextlib.suppress(UpgradeError):
            come_back(machines)
        raise


def finish_in_place(machines: Machines, config: Config) -> None:
    """Ends what an interrupted run has begun, before it is asked whether all is well: it is not.

    Raises:
        RefusalError: nothing says to which release.
        UpgradeError: it failed.
    """
    facts = ask(machines)
    if not facts.begun:
        return
    wanted = config.wanted(facts)
    for name in facts.begun:
        if not wanted or facts.releases[name] >= wanted.number:
            raise RefusalError(
                f"{name} is on its way from Debian {facts.releases[name]} to another, and debian does not say to "
                f"which: pulumi config set debian {max(RELEASES)}"
            )
        _say(f"{name}, which an interrupted run has begun to upgrade, comes first")
        upgrade_in_place(machines, name, RELEASES[facts.releases[name]], wanted)


def next_update(machines: Machines, updated: Collection[str]) -> str | None:
    """Upgrades packages on the next machine that has any and is not `updated`, and returns its name when all is well.

    Raises:
        UpgradeError: it failed, or all was not well before.
    """
    report = wait_until_well(machines)
    active = active_in(report)
    updates = ask_updates(machines)
    left = [name for name in in_order(updates, active) if updates[name].any and name not in updated]
    if not left:
        return None
    name = left[0]
    _say(f"{name}: {updates[name]}; then {len(left) - 1} more machines")
    if name == active:
        pass_on(machines, report)
    try:
        if name not in BALANCERS:
            # Until it has booted: its packages start daemons that are stopped again by that.
            drain(machines, name)
        if _have(machines, [name], "install_updates", UPDATE_SECONDS)[name].endswith("reboots\n"):
            wait_for_boot(machines, name, updates[name].boot)
    except UpgradeError:
        with contextlib.suppress(UpgradeError):
            come_back(machines)
        raise
    come_back(machines)
    wait_until_well(machines)
    return name


def ask_updates(machines: Machines) -> dict[str, Updates]:
    """Asks all machines, after they have asked their archive."""
    said = _have(machines, machines.names(), "updates", UPDATE_SECONDS)
    return {name: parse_updates(text) for name, text in said.items()}


def wait_for_boot(machines: Machines, name: str, before: str) -> None:
    """Waits until a machine is up with another boot than before."""
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            if _have(machines, [name], "boot", LOOK_SECONDS)[name].split()[-1] != before:
                return
        except UpgradeError:
            pass
        if time.monotonic() > deadline:
            raise UpgradeError(f"{name} is not back {BOOT_SECONDS} s after its reboot")
        time.sleep(1)


def finish(machines: Machines, config: Config) -> None:
    """Raises Gluster's op-version to that of the release which all machines run."""
    wanted = config.wanted(facts := ask(machines))
    # Of machines in place, one may run another release by somebody's hand.
    if wanted and facts.op_version < wanted.op_version and set(facts.releases.values()) == {wanted.number}:
        _have(machines, BALANCERS[:1], f"raise_op_version {wanted.op_version}")
        wait_until_well(machines)
        _say(f"Gluster's op-version is {wanted.op_version}")


def preview(machines: Machines, config: Config) -> None:
    """Says what is to be done, in its order."""
    active = next(iter(examine(machines, LOOK_SECONDS).floating_ip["owners"]), BALANCERS[0])
    facts = ask(machines)
    wanted, updates = config.wanted(facts), ask_updates(machines)
    replaced = facts.left(wanted, active) if wanted else []
    for name in in_order(facts.releases, active):
        becomes = "upgraded in place to" if config.is_in_place else "replaced by"
        to = f", {becomes} Debian {wanted.number}" if wanted and name in replaced else f": {updates[name]}"
        _say(f"{name}: Debian {facts.releases[name]}{to}")


def _say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def alone(stack: str, folder: Path = PROJECT_FOLDER / ".cluster") -> Iterator[None]:
    """While it lasts, no other run of this checkout upgrades the stack, which would begin by undoing what is half done.

    Raises:
        RefusalError: one does.
    """
    with (folder / f"upgrade-{stack.replace('/', '-')}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusalError(f"another {script('upgrade', stack)} is at work: wait for its end") from None
        yield


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
    with contextlib.nullcontext() if asked.dry_run else alone(asked.stack):
        return stops(lambda: _upgrade(asked.stack, dry_run=asked.dry_run, one=asked.one))


def _upgrade(stack: str, *, dry_run: bool, one: bool) -> int:
    config = Config(stack)
    if config.upgrading and not dry_run:
        _say(f"{config.upgrading}, which an interrupted run has begun, comes first")
        replace(config, stack, config.upgrading)
    with machines_of(stack) as machines:
        if dry_run:
            preview(machines, config)
            return DONE
        if len(machines.names(Role.PHP)) == 1:
            raise RefusalError(
                f"{FIRST_NODE} is the only PHP node, and nobody would serve while it is away: "
                "pulumi config set phpNodes 2, and pulumi up"
            )
        if config.is_in_place:
            finish_in_place(machines, config)
        come_back(machines)
        while next_machine(machines, Config(stack)):
            if one:
                return DONE
        finish(machines, config)
        # Each once: a program that always seems old must not have its machine boot for ever.
        updated: list[str] = []
        while name := next_update(machines, updated):
            if one:
                return DONE
            updated.append(name)
        _say(f"nothing is left to do; {script('status', stack)} tells how the machines are")
    return DONE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
