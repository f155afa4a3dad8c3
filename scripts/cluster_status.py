"""How a cluster is: asked of its machines, all at once, and of the site as a visitor would."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.plan.topology import BALANCERS
from components.steps.drift import CHECK_ALL_STEPS, differences
from components.steps.pinned_ssh import ssh_command
from components.substrates import clocks

WELL, DEGRADED, DOWN, NO_STACK = 0, 1, 2, 3

CONNECT_SECONDS = 2
ANSWER_SECONDS = 4.0
"""Together with the look into the stack's state this stays under five seconds."""

MOST_SKEW_SECONDS = 0.5
"""Clocks may be so far apart, of what is sure."""

PROBE = Path(__file__).parent / "probe.sh"

Facts = Sequence[Sequence[str]]
"""What a machine said: the name of a fact, then its values."""


@dataclass
class Report:
    """The whole cluster at one moment.

    Attributes:
        site: What the site answers: `200`, another status, or why there is no answer.
        machines: Name to role, address, state (`up` or why not), boot time, daemons, site release, mount, and seconds
            by which its clock is ahead of this box's, at least and at most.
        floating_ip: The address, its owners, and since when.
        balancers: Balancer to PHP node to state, as HAProxy sees it.
        peers: Member of the pool to other member to state.
        bricks: Brick host to state and entries that wait to be healed.
        files_bricks: The same of the volume with the site's shared files, where there is one.
        outdated: The brick hosts whose brick the arbiter takes for outdated: the other one alone counts.
        sessions: Number of session files on a brick; None when no brick answered.
        refused: Number of requests in the last hour whose session could not be read or stored; PHP's journal says why.
        drift: Step to what differs from the last update.
        problems: What is wrong, in sentences.
    """

    site: str
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    floating_ip: dict[str, Any] = field(default_factory=dict)
    balancers: dict[str, dict[str, str]] = field(default_factory=dict)
    peers: dict[str, dict[str, str]] = field(default_factory=dict)
    bricks: dict[str, dict[str, str]] = field(default_factory=dict)
    files_bricks: dict[str, dict[str, str]] = field(default_factory=dict)
    outdated: list[str] = field(default_factory=list)
    sessions: int | None = None
    refused: int = 0
    drift: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """For monitoring."""
        if not self.site.startswith(("2", "3")):
            return DOWN
        return DEGRADED if self.problems else WELL


def outputs_of(stack: str) -> dict[str, Any]:
    """The outputs of a stack, secrets included; empty when there is none."""
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    outputs: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return outputs


def ask_site(url: str, seconds: float) -> str:
    """What a visitor gets within that time, without following where it sends him."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    try:
        with opener.open(url, timeout=seconds) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as problem:
        return f"no answer: {getattr(problem, 'reason', problem)}"


def ask_machine(
    ssh: Sequence[str], login: Mapping[str, str], floating_ip: str, seconds: float
) -> tuple[Facts, dict[str, str], str]:
    """Facts, differences, and why there are no more of them (empty: that is all there is)."""
    script = f"FLOATING_IP={floating_ip}\n{PROBE.read_text()}{CHECK_ALL_STEPS}"
    shell = "bash -s" if login["user"] == "root" else "sudo --non-interactive bash -s"
    process = subprocess.Popen(
        [*ssh, f"{login['user']}@{login['host']}", shell],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    why = ""
    asked = time.time()
    try:
        said, problem = process.communicate(script, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        why = "it does not answer in time"
    else:
        why = problem.strip().splitlines()[-1] if process.returncode != 0 and problem.strip() else ""
    lines = said.splitlines()
    facts = [timed(line.split(), asked) for line in lines if line and not line.startswith("{")]
    return facts, differences("\n".join(line for line in lines if line.endswith("}"))), why


def timed(fact: Sequence[str], asked: float) -> Sequence[str]:
    """What a machine's clock showed between `asked` and now becomes how far it is ahead, at least and at most."""
    match fact:
        case ["clock", showed]:
            return ["ahead", *map(str, clocks.ahead(showed, asked, time.time()))]
    return fact


def examine(outputs: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Report:
    """Asks everybody at once, waits that long, and judges what they say."""
    machines: dict[str, dict[str, Any]] = outputs["machines"]
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(len(machines) + 1) as pool:

        def ssh(name: str) -> list[str]:
            key, known_hosts = outputs["sshPrivateKey"], outputs["knownHosts"]
            return ssh_command(
                Path(temporary) / name, key, known_hosts, CONNECT_SECONDS, machines[name]["login"]["through"]
            )

        site = pool.submit(ask_site, outputs["url"], seconds)
        asked = {
            name: pool.submit(ask_machine, ssh(name), machine["login"], outputs["floatingIp"], seconds)
            for name, machine in machines.items()
        }
        report = Report(site.result())
        report.floating_ip = {"address": outputs["floatingIp"], "owners": {}}
        for name, answer in asked.items():
            facts, differing, why = answer.result()
            # One that has begun to tell is up; what it still waits for may be a dead member of the pool.
            report.machines[name] = {**machines[name], "state": "up" if facts else why, "daemons": {}}
            if facts and why:
                report.problems.append(f"{name} did not tell everything in time")
            report.drift |= differing
            for fact in facts:
                note(report, name, fact)
    judge(report)
    return report


def note(report: Report, machine: str, fact: Sequence[str]) -> None:
    """Puts one fact of a machine in its place."""
    known = report.machines[machine]
    match list(fact):
        case ["booted", *when]:
            known["booted"] = " ".join(when)
        case ["ahead", at_least, at_most]:
            known["ahead"] = (float(at_least), float(at_most))
        case ["daemon", name, state]:
            known["daemons"][name] = state
        case ["holds_floating_ip", since]:
            report.floating_ip["owners"][machine] = since
        case ["balances", node, *state]:
            report.balancers.setdefault(machine, {})[node] = " ".join(state)
        case ["site" | "mount" | "files_mount" as what, state]:
            known[what] = state
        case ["refused", count]:
            report.refused += int(count)
        case ["sessions", count]:
            report.sessions = max(report.sessions or 0, int(count))
        case ["peer", name, *state]:
            report.peers.setdefault(machine, {})[name] = " ".join(state)
        case ["brick" | "files_brick" as what, name, pending, *state]:
            bricks = report.bricks if what == "brick" else report.files_bricks
            # Whoever reaches it knows better than whoever does not.
            if bricks.get(name, {}).get("state") != "Connected":
                bricks[name] = {"state": " ".join(state), "to_heal": pending}
        case ["arbiter_outdated", number]:
            report.outdated.append(BALANCERS[int(number)])


def judge(report: Report) -> None:
    """Says what is wrong."""
    problems = report.problems
    if report.exit_code == DOWN:
        problems.append(f"the site: {report.site}")
    for name, machine in report.machines.items():
        if machine["state"] != "up":
            problems.append(f"{name}: {machine['state']}")
        stopped = {daemon: state for daemon, state in machine["daemons"].items() if state != "active"}
        problems += [f"{name}: {daemon} is {state}" for daemon, state in stopped.items()]
        for mount, place in (("mount", "/media/sessions"), ("files_mount", "/media/files")):
            if machine.get(mount) == "missing":
                problems.append(f"{name}: {place} is not mounted")
    apart = clocks.furthest_apart({name: each["ahead"] for name, each in report.machines.items() if "ahead" in each})
    if apart and apart.seconds > MOST_SKEW_SECONDS:
        what = f"the clock of {apart.behind} is {apart.seconds:.1f} s or more behind that of {apart.ahead}"
        problems.append(f"{what}: both need a time server")
    owners = report.floating_ip["owners"]
    if len(owners) != 1:
        problems.append(f"the floating IP is held by {' and '.join(owners) or 'nobody'}")
    for balancer, nodes in report.balancers.items():
        problems += [f"{balancer} sees {node} {state}" for node, state in nodes.items() if not state.startswith("UP")]
    for member, others in report.peers.items():
        problems += [
            f"{member} sees {other} as {state}"
            for other, state in others.items()
            if state != "Peer in Cluster (Connected)"
        ]
    problems += [*_brick_problems("brick", report.bricks)]
    problems += [*_brick_problems("brick with shared files", report.files_bricks)]
    problems += [f"the arbiter takes the brick of {host} for outdated" for host in report.outdated]
    releases = {machine["site"] for machine in report.machines.values() if "site" in machine}
    if len(releases) > 1:
        problems.append(f"nodes serve different releases of the site: {', '.join(sorted(releases))}")
    problems += [f"{step} would run again: {reason}" for step, reason in report.drift.items()]


def _brick_problems(what: str, bricks: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for host, brick in bricks.items():
        if brick["state"] != "Connected":
            yield f"the {what} of {host}: {brick['state']}"
        elif brick["to_heal"] not in ("0", "-"):
            yield f"the {what} of {host}: {brick['to_heal']} entries wait to be healed"


def _healing(bricks: Mapping[str, Mapping[str, str]]) -> str:
    return "; ".join(f"{host} {brick['state']}, to heal: {brick['to_heal']}" for host, brick in bricks.items())


def screen(stack: str, report: Report) -> str:
    """The report for a person, on one screen."""
    lines = [f"stack {stack}   {time.strftime('%X')}   the site answers {report.site}"]
    owners = [f"{owner} since {since}" for owner, since in report.floating_ip["owners"].items()]
    lines.append(f"floating IP {report.floating_ip['address']}: {', '.join(owners) or 'nobody'}")
    lines.append("")
    for name, machine in report.machines.items():
        daemons = " ".join(
            daemon if state == "active" else f"{daemon}({state})" for daemon, state in machine["daemons"].items()
        )
        more = " ".join(f"{key} {machine[key]}" for key in ("mount", "files_mount", "site") if key in machine)
        state = "up" if machine["state"] == "up" else "DOWN"
        lines.append(f"{name:<6} {machine['role']:<14} {machine['address']:<16} {state:<5} {daemons}  {more}")
    lines.append("")
    for balancer, nodes in report.balancers.items():
        lines.append(f"{balancer} balances: {', '.join(f'{node} {state}' for node, state in nodes.items())}")
    lines.append(f"bricks: {_healing(report.bricks) or 'no member of the pool answered'}")
    if report.files_bricks:
        lines.append(f"bricks with shared files: {_healing(report.files_bricks)}")
    sessions = "?" if report.sessions is None else report.sessions
    lines.append(f"sessions: {sessions}; requests refused in the last hour: {report.refused}")
    lines.append("")
    lines += [f"! {problem}" for problem in report.problems] or ["all is well"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report, once or again and again."""
    parser = argparse.ArgumentParser(prog="scripts/status", description="How a cluster is.")
    parser.add_argument("--stack", default="dev", help="name of the stack (default: dev)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")
    parser.add_argument("--seconds", type=float, default=ANSWER_SECONDS, help="how long to listen (default: 4)")
    wanted = parser.parse_args(arguments)
    outputs = outputs_of(wanted.stack)
    if not outputs.get("machines"):
        print(f"the stack {wanted.stack} has no cluster that is up; make up builds one", file=sys.stderr)
        return NO_STACK
    while True:
        report = examine(outputs, wanted.seconds)
        text = json.dumps(asdict(report), indent=2) if wanted.json else screen(wanted.stack, report)
        if not wanted.watch:
            print(text)
            return report.exit_code
        print("\033[H\033[2J" + text if sys.stdout.isatty() else text, flush=True)
        time.sleep(2)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
