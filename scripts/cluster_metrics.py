"""Where the metrics of a stack are, as Prometheus reads it from a file (file_sd), and where its status page is."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from components.plan.topology import Role
from components.plan.traffic import EXPORTER_PORT, METRICS_PORT
from scripts.machines import machines_of, parser_for, says_why

NO_METRICS = 2

JOBS = {Role.LOAD_BALANCER.value: "haproxy", Role.PHP.value: "php-fpm"}
"""A machine's role to whose metrics are at its METRICS_PORT."""

MACHINE_JOB = "machine"


def targets(stack: str, machines: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Two groups for each machine: its own metrics, and those of what serves there. `job` is among the labels, so that
    one scrape config is enough."""
    return [
        {
            "targets": [f"{machine['address']}:{port}"],
            "labels": {"job": job, "stack": stack, "machine": name, "role": machine["role"]},
        }
        for name, machine in machines.items()
        for job, port in ((MACHINE_JOB, EXPORTER_PORT), (JOBS[machine["role"]], METRICS_PORT))
    ]


def pages(machines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The status page, on each balancer."""
    balancers = [machine for machine in machines.values() if machine["role"] == Role.LOAD_BALANCER.value]
    return [f"http://{machine['address']}:{METRICS_PORT}/" for machine in balancers]


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("metrics", "Where the metrics of a stack are.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("targets", help="JSON for file_sd_configs")
    commands.add_parser("page", help="the status page's addresses, one on each balancer")
    asked = parser.parse_args()
    with machines_of(asked.stack) as machines:
        if not machines.outputs.get("metricsFrom"):
            print(f"the stack {asked.stack} tells no metrics: set metrics.allowFrom, and pulumi up", file=sys.stderr)
            return NO_METRICS
        found = machines.outputs["machines"]
        print("\n".join(pages(found)) if asked.command == "page" else json.dumps(targets(asked.stack, found), indent=2))
        return 0


if __name__ == "__main__":
    sys.exit(main())
