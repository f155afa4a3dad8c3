"""How a cluster is: asked of its machines, all at once, and of the site as a visitor would."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.plan.own_updates import clashes, windows_in
from components.plan.topology import BALANCERS, FIRST_NODE, SHARED_BRICK_DISK, Role
from components.steps.drift import CHECK_ALL_STEPS, differences, rollbacks
from components.substrates import clocks
from scripts.machines import DEFAULT_STACK, Machines, machines_of, parser_for, says_why, script

WELL, DEGRADED, DOWN = 0, 1, 2

CONNECT_SECONDS = 2
ANSWER_SECONDS = 4.0
"""Together with the look into the stack's state this stays under five seconds."""

SHOWN = 12
"""Characters of a release's name."""

MOST_SKEW_SECONDS = 0.5
"""Clocks may be so far apart, of what is sure."""

FULL_PERCENT = 90
"""From here on a disk is said to fill: it takes some days yet, and a brick without room refuses sessions."""

CERTIFICATE_DAYS, CERTIFICATE_SHARE, RENEWAL_SECONDS = 14, 1 / 3, 1800
"""A certificate that ends sooner is said to end, as alert and status page have it: who renews by hand needs some days;
of one for less than six weeks, in the last third of its time. A balancer has half an hour then to get the next one."""

BACKUP_DAYS = 2
"""The last backup is told of when it is older: one of the nightly ones was left out."""

ASKS_NOW = "/usr/lib/php-cluster/acme-certificate now"
"""Has a balancer ask its CA at once."""

PROBE = Path(__file__).parent / "probe.sh"
HOLDS = Path(__file__).parent / "holds_floating_ip.sh"
OWN_UPDATES = Path(__file__).parent / "own_updates.sh"

Facts = Sequence[Sequence[str]]
"""What a machine said: the name of a fact, then its values."""


@dataclass
class Report:
    """The whole cluster at one moment.

    Attributes:
        site: What the site answers: `200`, another status, or why there is no answer.
        machines: Name to role, address, state (`up` or why not), boot time, daemons, site release, mount, seconds by
            which its clock is ahead of this box's (at least and at most), `used` (place to percent of its room and of
            its inodes), `updates` (packages, those of them for security, and when it has last asked for updates),
            `own_updates` and `own_reboot` (when unattended-upgrades installs some, or boots the machine at an hour of
            its own: minute of the day in UTC, and for how many),
            `may_hold` (whether a balancer may hold the floating IP).
        floating_ip: The address, its owners, and since when; where there is one, the IPv6 address that goes with it
            (`address6`), and its owners (`owners6`).
        balancers: Balancer to PHP node to state, as HAProxy sees it.
        peers: Member of the pool to other member to state.
        bricks: Brick host to state and entries that wait to be healed.
        files_bricks: The same of the volume with the site's shared files, where there is one.
        outdated: The brick hosts whose brick the arbiter takes for outdated: the other one alone counts.
        sessions: Number of session files on a brick; None when no brick answered.
        log: PHP node to what its session service knows of the log of sessions, where there is one: whether it
            `writes`, whether it is `linked` to a writer, its `trouble` if it is not; of the one that writes the `bytes`
            and the number of `segments` of the log, and the second `since` which it does.
        refused: Number of requests in the last hour whose session could not be read or stored; PHP's journal says why.
        limited: Balancer to how many `requests` and `connections` its limits for visitors have refused `since` when its
            HAProxy was last started or reloaded.
        drift: Step to what differs from the last update.
        maintenance: Balancer to when it was told to show the page for maintenance.
        certificate_ends: When the certificate ends that a balancer serves, in seconds since 1970.
        certificate_lasts: How long that one holds in all, in seconds.
        certificate_of_ca: Balancer to whether the CA's certificate that it is to serve is `issued`, or `awaited`.
        certificate_failed: Balancer to when it was last refused a certificate, and why.
        last_backup: When the last complete backup began, in seconds since 1970; None where no balancer knows of any.
        rolled_back: Release of the site to the one to which it was rolled back.
        problems: What is wrong, in sentences, and the command that mends it where there is one.
        notices: What is to be known and is no fault.
        stack: The cluster's stack.
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
    log: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: int = 0
    limited: dict[str, dict[str, Any]] = field(default_factory=dict)
    drift: dict[str, str] = field(default_factory=dict)
    maintenance: dict[str, str] = field(default_factory=dict)
    certificate_ends: dict[str, int] = field(default_factory=dict)
    certificate_lasts: dict[str, int] = field(default_factory=dict)
    certificate_of_ca: dict[str, str] = field(default_factory=dict)
    certificate_failed: dict[str, dict[str, str]] = field(default_factory=dict)
    last_backup: int | None = None
    rolled_back: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    stack: str = DEFAULT_STACK

    @property
    def exit_code(self) -> int:
        """For monitoring."""
        if not self.site.startswith(("2", "3")) and not self.is_closed:
            return DOWN
        return DEGRADED if self.problems else WELL

    @property
    def is_closed(self) -> bool:
        """Whether visitors get the page for maintenance, as somebody wanted."""
        return self.site == "503" and any(owner in self.maintenance for owner in self.floating_ip.get("owners", ()))


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


def ask_machine(machines: Machines, name: str, seconds: float, *, brief: bool) -> tuple[Facts, str, str]:
    """Facts, what the look at its steps printed, and why there is no more (empty: that is all there is)."""
    outputs = machines.outputs
    variables = f"FLOATING_IP={outputs['floatingIp']}\nFLOATING_IP6={outputs.get('floatingIp6', '')}\n"
    variables += f"BRIEF={'yes' if brief else 'no'}\n"
    script = f"{variables}{HOLDS.read_text()}{OWN_UPDATES.read_text()}{PROBE.read_text()}{CHECK_ALL_STEPS}"
    process = subprocess.Popen(
        machines.command(name, "bash", "-s"),
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
    return facts, "\n".join(line for line in lines if line.endswith("}")), why


def timed(fact: Sequence[str], asked: float) -> Sequence[str]:
    """What a machine's clock showed between `asked` and now becomes how far it is ahead, at least and at most."""
    match fact:
        case ["clock", showed]:
            return ["ahead", *map(str, clocks.ahead(showed, asked, time.time()))]
    return fact


def examine(machines: Machines, seconds: float = ANSWER_SECONDS, role: Role | None = None) -> Report:
    """Asks everybody at once, waits that long, and judges what they say.

    Machines of one role, if there is one, are asked for what they know without others, and not for their steps.
    """
    outputs, names = machines.outputs, machines.names(role)
    with ThreadPoolExecutor(len(names) + 1) as pool:
        site = pool.submit(ask_site, outputs["url"], seconds)
        asked = {name: pool.submit(ask_machine, machines, name, seconds, brief=role is not None) for name in names}
    floating_ip: dict[str, Any] = {"address": outputs["floatingIp"], "owners": {}}
    if "floatingIp6" in outputs:
        floating_ip |= {"address6": outputs["floatingIp6"], "owners6": []}
    report = Report(site.result(), floating_ip=floating_ip, stack=machines.stack)
    for name, answer in asked.items():
        facts, looked, why = answer.result()
        # One that has begun to tell is up; what it still waits for may be a dead member of the pool.
        report.machines[name] = {**outputs["machines"][name], "state": "up" if facts else why, "daemons": {}}
        if facts and why:
            report.problems.append(f"{name} did not tell everything in time")
        report.drift |= differences(looked)
        report.rolled_back |= rollbacks(looked)
        for fact in facts:
            note(report, name, fact)
    judge(report)
    return report


def note(report: Report, machine: str, fact: Sequence[str]) -> None:
    """Puts one fact of a machine in its place."""
    match list(fact):
        case ["holds_floating_ip", since]:
            report.floating_ip["owners"][machine] = since
        case ["holds_floating_ip6"]:
            report.floating_ip["owners6"].append(machine)
        case ["balances", node, *state]:
            report.balancers.setdefault(machine, {})[node] = " ".join(state)
        case ["maintenance", *since]:
            report.maintenance[machine] = " ".join(since)
        case ["backup", began]:
            report.last_backup = max(report.last_backup or 0, int(began))
        case ["refused", count]:
            report.refused += int(count)
        case ["limited", requests, connections, *since]:
            refused = {"requests": int(requests), "connections": int(connections)}
            report.limited[machine] = {**refused, "since": " ".join(since)}
        case ["peer", name, *state]:
            report.peers.setdefault(machine, {})[name] = " ".join(state)
        case own:
            _note_volume(report, machine, own)
            _note_certificate(report, machine, own)
            _note_own(report.machines[machine], own)


def _note_volume(report: Report, machine: str, fact: Sequence[str]) -> None:
    """The same of a fact that is about the bricks, or the sessions on them."""
    match fact:
        case ["sessions", count]:
            report.sessions = max(report.sessions or 0, int(count))
        case ["log", ("yes" | "no") as writes, linked, stored, size, segments, since, *trouble]:
            known = {"writes": writes == "yes", "linked": linked == "yes", "trouble": " ".join(trouble)}
            known |= {"bytes": int(size), "segments": int(segments), "since": int(since)}
            report.log[machine] = known
            report.sessions = max(report.sessions or 0, int(stored))
        case ["brick" | "files_brick" as what, name, pending, *state]:
            bricks = report.bricks if what == "brick" else report.files_bricks
            # Whoever reaches it knows better than whoever does not.
            if bricks.get(name, {}).get("state") != "Connected":
                bricks[name] = {"state": " ".join(state), "to_heal": pending}
        case ["arbiter_outdated", number]:
            report.outdated.append(BALANCERS[int(number)])


def _note_certificate(report: Report, machine: str, fact: Sequence[str]) -> None:
    """The same of a fact that is about the certificate that it serves."""
    match fact:
        case ["certificate_ends", when, lasts]:
            report.certificate_ends[machine] = int(when)
            report.certificate_lasts[machine] = int(lasts)
        case ["certificate_of_ca", state]:
            report.certificate_of_ca[machine] = state
        case ["certificate_failed", when, *why]:
            shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(when)))
            report.certificate_failed[machine] = {"when": shown, "why": " ".join(why)}


def _note_own(known: dict[str, Any], fact: Sequence[str]) -> None:
    """The same of a fact that is about the machine alone."""
    match fact:
        case ["booted", *when]:
            known["booted"] = " ".join(when)
        case ["ahead", at_least, at_most]:
            known["ahead"] = (float(at_least), float(at_most))
        case ["daemon", name, state]:
            known["daemons"][name] = state
        case ["site" | "mount" | "files_mount" as what, state]:
            known[what] = state
        case ["may_hold", verdict]:
            known["may_hold"] = verdict == "0"
        case ["used", place, room, inodes]:
            known.setdefault("used", {})[place] = {"room": _percent(room), "inodes": _percent(inodes)}
        case ["own_updates" | "own_reboot" as what, *when]:
            known.setdefault(what, []).append(" ".join(when))
        case ["updates", count, security, asked]:
            known["updates"] = {"packages": int(count), "security": int(security), "asked": asked}


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
        if machine.get("may_hold") is False:
            say = _on(report, name, "journalctl --unit php-cluster-balancer")
            problems.append(f"{name} must not hold the floating IP: {say}")
        problems += _filling(report, name)
    apart = clocks.furthest_apart({name: each["ahead"] for name, each in report.machines.items() if "ahead" in each})
    if apart and apart.seconds > MOST_SKEW_SECONDS:
        what = f"the clock of {apart.behind} is {apart.seconds:.1f} s or more behind that of {apart.ahead}"
        mend = _on(report, apart.behind, "apt-get install chrony")
        problems.append(f"{what}: both need a time server ({mend})")
    owners = report.floating_ip["owners"]
    if len(owners) != 1:
        problems.append(f"the floating IP is held by {' and '.join(owners) or 'nobody'}")
    owners6 = report.floating_ip.get("owners6")
    if owners6 is not None and owners6 != list(owners):
        problems.append(f"{report.floating_ip['address6']} is held by {' and '.join(owners6) or 'nobody'}")
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
    problems += [
        f"{node}: its session service reaches no writer: {known['trouble'] or 'it looks for one'}"
        for node, known in report.log.items()
        if not known["linked"]
    ]
    releases = {machine["site"] for machine in report.machines.values() if "site" in machine}
    if len(releases) > 1:
        problems.append(f"nodes serve different releases of the site: {', '.join(sorted(releases))}")
    problems += [f"{step} would run again: {reason}" for step, reason in report.drift.items()]
    problems += _edge_problems(report)
    report.notices += _notices(report)


def _percent(said: str) -> int | None:
    """Of df; None where a file system has no such limit."""
    return int(said.rstrip("%")) if said.rstrip("%").isdigit() else None


def _on(report: Report, name: str, *commands: str) -> str:
    """How a person runs commands as root on a machine, whoever logs in there."""
    # The same one on all of them, and php1 need not have been asked.
    as_root = "" if {machine["login"]["user"] for machine in report.machines.values()} == {"root"} else "sudo "
    typed = "; ".join(f"{as_root}{command}" for command in commands)
    return f"{script('ssh', report.stack)} {name} {typed if len(commands) == 1 else shlex.quote(typed)}"


def _filling(report: Report, name: str) -> Iterator[str]:
    used: Mapping[str, Mapping[str, int | None]] = report.machines[name].get("used", {})
    for place, parts in used.items():
        for part, percent in parts.items():
            if percent is not None and percent >= FULL_PERCENT:
                # Expired sessions go at once; what else lies there is the operator's to judge.
                mend = (
                    _on(report, FIRST_NODE, "systemctl start php-cluster-collect")
                    if place == SHARED_BRICK_DISK
                    else _on(report, name, "journalctl --vacuum-size=200M", "apt-get clean")
                )
                yield f"{name}: {percent} % of the {part} of {place} is used: {mend}"


def _edge_problems(report: Report) -> Iterator[str]:
    """What visitors notice at the balancers, or soon will."""
    yield from certificate_problems(report)
    closed = [name for name in BALANCERS if name in report.maintenance]
    there = [name for name in BALANCERS if report.machines.get(name, {}).get("state") == "up"]
    if closed and set(there) <= set(closed):
        yield f"maintenance is on since {report.maintenance[closed[0]]}: {script('maintenance', report.stack)} off"
    elif closed:
        yield f"maintenance is on at {closed[0]} alone: {script('maintenance', report.stack)} on, or off"


def certificate_problems(report: Report) -> Iterator[str]:
    """What is wrong with the certificates that the balancers serve, or are to serve."""
    for name, state in report.certificate_of_ca.items():
        if state == "awaited" and not report.certificate_failed:
            yield f"{name} serves a certificate of its own until a CA has issued one"
    for name, failed in report.certificate_failed.items():
        mend = f"it asks again, and at once by {_on(report, name, ASKS_NOW)}"
        yield f"{name} got no certificate at {failed['when']}: {failed['why']}; {mend}"
    for name, ends in report.certificate_ends.items():
        left = ends - time.time()
        early = min(CERTIFICATE_DAYS * 86400, report.certificate_lasts[name] * CERTIFICATE_SHARE)
        if left < max(0, early - RENEWAL_SECONDS):
            what = f"ends in {int(left // 86400)} days" if left >= 0 else "has ended"
            mend = "set tlsCertificate and tlsKey anew, and pulumi up"
            if name in report.certificate_of_ca:
                mend = _on(report, name, "journalctl --unit php-cluster-certificate")
            yield f"the certificate of {name} {what}: {mend}"


def _notices(report: Report) -> Iterator[str]:
    for left, serves in report.rolled_back.items():
        yield (
            f"the site was rolled back from {left[:SHOWN]} to {serves[:SHOWN]}: pulumi up with another site ends it, "
            f"and so does {script('release', report.stack)} rollback {left[:SHOWN]}"
        )
    if report.last_backup and (days := (time.time() - report.last_backup) / 86400) > BACKUP_DAYS:
        yield f"the last complete backup is {int(days)} days old: {script('backup', report.stack)} WHERE"
    yield from _own_updates(report)
    waiting = {name: machine["updates"] for name, machine in report.machines.items() if "updates" in machine}
    for name, updates in waiting.items():
        if updates["packages"]:
            yield (
                f"{name}: {updates['packages']} updates, {updates['security']} security (known since "
                f"{updates['asked']}): {script('upgrade', report.stack)}"
            )


def _own_updates(report: Report) -> Iterator[str]:
    """Machines that install updates by themselves, and when."""
    windows = {
        name: windows_in([*machine["own_updates"], *machine.get("own_reboot", ())])
        for name, machine in report.machines.items()
        if machine.get("own_updates")
    }
    met = clashes(windows)
    for name, times in windows.items():
        boots = ", and boots by itself if they ask for it" if "own_reboot" in report.machines[name] else ""
        told = f"{name}: unattended-upgrades installs updates, {' and '.join(map(str, times))}{boots}"
        if name in met:
            told += f"; {met[name].other} does so in the same window, and with both away sessions are refused. "
            told += f"As root on {name}: {met[name].remedy}"
        yield told


def _brick_problems(what: str, bricks: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for host, brick in bricks.items():
        if brick["state"] != "Connected":
            yield f"the {what} of {host}: {brick['state']}"
        elif brick["to_heal"] not in ("0", "-"):
            yield f"the {what} of {host}: {brick['to_heal']} entries wait to be healed"


def _healing(bricks: Mapping[str, Mapping[str, str]]) -> str:
    return "; ".join(f"{host} {brick['state']}, to heal: {brick['to_heal']}" for host, brick in bricks.items())


def writer_line(node: str, known: Mapping[str, Any]) -> str:
    """Who writes the log of sessions, as a person reads it."""
    since = time.strftime("%F %T", time.localtime(known["since"]))
    return f"{node} since {since}, {known['bytes'] / 1e6:.1f} MB in {known['segments']} segments"


def _limited(balancer: str, known: Mapping[str, Any]) -> str:
    return f"{balancer} {known['requests']} requests, {known['connections']} connections since {known['since']}"


def screen(report: Report) -> str:
    """The report for a person, on one screen."""
    lines = [f"stack {report.stack}   {time.strftime('%X')}   the site answers {report.site}"]
    owners = [f"{owner} since {since}" for owner, since in report.floating_ip["owners"].items()]
    addresses = " and ".join(report.floating_ip[key] for key in ("address", "address6") if key in report.floating_ip)
    lines.append(f"floating IP {addresses}: {', '.join(owners) or 'nobody'}")
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
    if report.certificate_ends:
        days = {name: int((ends - time.time()) // 86400) for name, ends in report.certificate_ends.items()}
        lines.append(f"certificate: {', '.join(f'{name} {left} days left' for name, left in days.items())}")
    if report.files_bricks:
        lines.append(f"bricks with shared files: {_healing(report.files_bricks)}")
    if report.log:
        writers = [writer_line(node, known) for node, known in report.log.items() if known["writes"]]
        lines.append(f"log of sessions: written by {' and '.join(writers) or 'nobody'}")
    sessions = "?" if report.sessions is None else report.sessions
    lines.append(f"sessions: {sessions}; requests refused in the last hour: {report.refused}")
    if report.limited:
        lines.append(f"refused by limits: {'; '.join(_limited(*each) for each in report.limited.items())}")
    lines.append("")
    lines += [f"! {problem}" for problem in report.problems] or ["all is well"]
    lines += [f"- {notice}" for notice in report.notices]
    return "\n".join(lines)


@says_why
def main() -> int:
    """Prints the report, once or again and again."""
    parser = parser_for("status", "How a cluster is.")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")
    parser.add_argument("--seconds", type=float, default=ANSWER_SECONDS, help="how long to listen (default: 4)")
    wanted = parser.parse_args()
    with machines_of(wanted.stack, CONNECT_SECONDS) as machines:
        while True:
            report = examine(machines, wanted.seconds)
            text = json.dumps(asdict(report), indent=2) if wanted.json else screen(report)
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
