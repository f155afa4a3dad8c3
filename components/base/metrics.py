"""A machine's metrics: those of Debian's exporter, and what only the cluster's own parts know."""

from __future__ import annotations

import pulumi

from components.plan.topology import ARBITER_FOLDER, BALANCERS, Role, Topology
from components.plan.traffic import BRICK_PORTS
from components.steps.host import Host
from components.steps.last_update import LastUpdate

EXPORTER_QUESTION = "/metrics?" + "&".join(
    f"collect[]={part}" for part in ("filesystem", "loadavg", "meminfo", "textfile")
)
"""What the status page asks a machine's exporter for: a tenth of what it has."""

_TOLD = "metrics"


def metrics_told(host: Host, plan: Topology, *, parent: pulumi.Resource) -> None:
    """Has a machine's exporter tell of the cluster, too."""
    elastic = host.machine.elastic_ip
    holds = elastic.local_address if elastic else plan.floating_ip or ""
    host.step(
        f"{host.name}-{_TOLD}",
        "base/metrics.sh",
        parent=parent,
        variables={
            "FLOATING_IP": holds if host.planned.role is Role.LOAD_BALANCER else "",
            "ARBITER_FOLDER": ARBITER_FOLDER,
            "BRICKS_OF": " ".join(BALANCERS),
            "FIRST_BRICK_PORT": str(BRICK_PORTS[0]),
            # Without an arbiter either brick serves alone.
            "QUORUM": "2" if plan.arbiter else "1",
        },
        files={
            "COLLECT_METRICS": "base/collect-metrics",
            "METRICS_SERVICE": "base/metrics.service",
            "METRICS_TIMER": "base/metrics.timer",
        },
    )


def metrics_left(host: Host, last: LastUpdate, *, parent: pulumi.Resource) -> None:
    """Has a machine tell nothing any more, if it did."""
    host.step_left(_TOLD, "base/metrics-leave.sh", last, parent=parent)
