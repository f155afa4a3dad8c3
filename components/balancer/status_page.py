"""The status page, which HAProxy serves beside the metrics to those who may ask for them (`metrics.allowFrom`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pulumi

from components.base.metrics import EXPORTER_QUESTION
from components.plan.topology import Topology
from components.plan.traffic import EXPORTER_PORT, METRICS_PORT
from components.steps.host import Host
from components.steps.last_update import LastUpdate

PAGE_FOLDER = "/usr/lib/php-cluster/status-page"

_STEP = "status-page"


def page_values(plan: Topology, index: int) -> dict[str, Any]:
    """How the balancer with this index (0 or 1) tells metrics and serves the page, by the words of the template."""
    peer = plan.balancers[1 - index]
    described = {
        "address": plan.floating_ip or "",
        "self": plan.balancers[index].name,
        "peer": f"http://{peer.address}:{METRICS_PORT}",
        "balancers": [machine.name for machine in plan.balancers],
        "nodes": [machine.name for machine in plan.php_nodes],
        "addresses": {machine.name: machine.address for machine in plan.machines},
    }
    return {
        "metrics_port": METRICS_PORT,
        "exporter_port": EXPORTER_PORT,
        "exporter_question": EXPORTER_QUESTION,
        "page_folder": PAGE_FOLDER,
        # What the page asks first: which machines there are.
        "page_cluster": json.dumps(described, separators=(",", ":")),
        "page_machines": [machine.name for machine in plan.machines],
    }


def page_ready(host: Host, plan: Topology, *, parent: pulumi.Resource) -> pulumi.Resource:
    """The step after which HAProxy has a page to serve, and the balancer notes what changes."""
    elastic = host.machine.elastic_ip
    return host.step(
        f"{host.name}-{_STEP}",
        "balancer/status-page.sh",
        parent=parent,
        variables={
            "FLOATING_IP": elastic.local_address if elastic else plan.floating_ip or "",
            "PAGE_FOLDER": PAGE_FOLDER,
        },
        files={
            "PAGE_HTML": "balancer/status-page.html",
            "PAGE_CSS": "balancer/status-page.css",
            "PAGE_JS": "balancer/status-page.js",
            "CLUSTER_CHANGES": "balancer/cluster-changes",
            "CHANGES_SERVICE": "balancer/changes.service",
            "TELLS_CHANGES": "balancer/changes@.service",
            "CHANGES_SOCKET": "balancer/changes.socket",
            "CHANGES_TIMER": "balancer/changes.timer",
        },
    )


def page_left(host: Host, last: LastUpdate, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> None:
    """Has a balancer note nothing any more, if it did, `after` the steps since which HAProxy serves no page."""
    variables = {"PAGE_FOLDER": PAGE_FOLDER}
    host.step_left(_STEP, "balancer/status-page-leave.sh", last, parent=parent, variables=variables, after=after)
