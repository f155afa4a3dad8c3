"""Prints what a person wants to know of a stack that is up: where it answers, how to log in, what to try next."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def summary(stack: str, outputs: Mapping[str, Any]) -> str:
    """The text, from the stack's outputs."""
    machines = outputs["machines"]
    on_stack = "" if stack == "dev" else f" --stack {stack}"
    last = list(machines)[-1]
    by_ipv6 = f"\nBy IPv6: {outputs['floatingIp6']}" if "floatingIp6" in outputs else ""
    logins = "\n".join(
        f"  {name:<6} {machine['role']:<14} {machine['address']:<16} {machine['ssh']}"
        for name, machine in machines.items()
    )
    return f"""
The cluster is up: {outputs["url"]}{by_ipv6}

Its machines, and how to log in:
{logins}

Try next:
  scripts/lab/power-off{on_stack} lb1   take a balancer's power away, and go on counting at the address above
  scripts/lab/restore{on_stack} lb1     give it back
  source scripts/activate && pulumi config set phpNodes {len(machines) - 1} && make up
  make down                       and it is gone; {last} and its sessions with it
HAProxy's view of the nodes: {outputs["statsUrl"]}  (user admin; pulumi stack output statsPassword --show-secrets)"""


def main(stack: str) -> None:
    """Reads the stack's outputs from the `pulumi` on PATH."""
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    print(summary(stack, json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)))


if __name__ == "__main__":
    main(sys.argv[1])
