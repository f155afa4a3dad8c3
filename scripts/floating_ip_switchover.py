"""Hands the floating IP over to the other load balancer.

The one that has it says that it must not hold it (scripts/hosts/balancer/watch-balancer), as it does when its HAProxy
has failed. keepalived then tells the other one, which takes it at once and keeps it: neither takes it back by itself.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from components.plan.topology import BALANCERS, Role
from scripts.cluster_status import ANSWER_SECONDS, HOLDS, Report, ask_site, examine
from scripts.machines import Machines, RefusalError, last_line, machines_of, parser_for, says_why

DONE, NOT_TAKEN = 0, 1

HANDOVER_SECONDS = 5
"""How long the one may not hold the address. keepalived needs less than two; if the other one has not taken it by then,
this one does so again."""

TAKE_SECONDS = 25
"""How long the other one is waited for: an Elastic IP moves by calls of the cloud's API, which may be repeated."""

CARRIERS = ("haproxy", "keepalived", "php-cluster-balancer", "php-cluster-elastic-ip")
"""The daemons without which a balancer cannot have the address, or visitors get no answer there."""

HANDOVER_FILE = "/run/php-cluster/hands-over"


def plan(report: Report) -> tuple[str, str]:
    """Who has the floating IP, and who is to get it.

    Raises:
        RefusalError: the other one would not serve as well.
    """
    owners = list(report.floating_ip["owners"])
    if len(owners) != 1:
        raise RefusalError(f"the floating IP is held by {' and '.join(owners) or 'nobody'}: see scripts/status")
    [owner] = owners
    other = next(name for name in BALANCERS if name != owner)
    if problems := _not_ready(report, owner, other):
        raise RefusalError(f"{other} is not ready to take the floating IP from {owner}: {'; '.join(problems)}")
    return owner, other


def _not_ready(report: Report, owner: str, other: str) -> list[str]:
    machine: dict[str, Any] = report.machines[other]
    if machine["state"] != "up":
        return [machine["state"]]
    carriers = {daemon: state for daemon, state in machine["daemons"].items() if daemon in CARRIERS}
    problems = [f"{daemon} is {state}" for daemon, state in carriers.items() if state != "active"]
    if not machine.get("may_hold"):
        problems.append("it must not hold it (journalctl --unit php-cluster-balancer tells why)")
    serving = {node for node, state in report.balancers.get(owner, {}).items() if state.startswith("UP")}
    seen = report.balancers.get(other, {})
    problems += [f"it sees {node} {seen.get(node, 'not at all')}" for node in sorted(serving) if seen.get(node) != "UP"]
    if (owner in report.maintenance) != (other in report.maintenance):
        problems.append("maintenance is on at one of them alone: scripts/maintenance on, or off")
    return problems


def hand_over(machines: Machines, owner: str, other: str) -> int:
    """Has the other one take the address, and says how long it took."""
    floating_ip = machines.outputs["floatingIp"]
    waits = (
        f"FLOATING_IP={floating_ip} FLOATING_IP6=\n{HOLDS.read_text()}"
        f"until holds_floating_ip; do ((SECONDS < {TAKE_SECONDS})) || exit 1; sleep 0.1; done\n"
    )
    begun = time.monotonic()
    asked = machines.run(owner, "bash", "-c", f"echo $((EPOCHSECONDS + {HANDOVER_SECONDS})) >{HANDOVER_FILE}")
    if asked.returncode != 0:
        print(f"{owner} could not be asked to hand over {floating_ip}: {last_line(asked)}", file=sys.stderr)
        return NOT_TAKEN
    taken = machines.run(other, "bash", "-s", stdin=waits, seconds=TAKE_SECONDS + 10)
    seconds = time.monotonic() - begun
    ended = machines.run(owner, "rm", "--force", HANDOVER_FILE)
    if taken.returncode != 0:
        print(f"{other} did not take {floating_ip} within {TAKE_SECONDS} s; {owner} may have it again", file=sys.stderr)
        return NOT_TAKEN
    print(f"{floating_ip} went from {owner} to {other} within {seconds:.1f} s; the site answers ", end="")
    print(ask_site(machines.outputs["url"], ANSWER_SECONDS))
    if ended.returncode != 0:
        print(f"{owner} takes part again in {HANDOVER_SECONDS} s: {last_line(ended)}", file=sys.stderr)
    return DONE


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("switchover", "The floating IP to the other balancer.")
    asked = parser.parse_args()
    with machines_of(asked.stack) as machines:
        return hand_over(machines, *plan(examine(machines, role=Role.LOAD_BALANCER)))


if __name__ == "__main__":
    sys.exit(main())
