"""What every machine gets first: its packages, the names of Gluster's servers, and its packet filter."""

from __future__ import annotations

import pulumi

from components.base.packet_filter import names_nodes, packet_filter
from components.plan.packages import packages_of
from components.plan.settings import Settings
from components.plan.topology import PlannedMachine, Topology
from components.steps.host import Host
from components.steps.machine import Machine


def installed(
    planned: PlannedMachine, machine: Machine, plan: Topology, settings: Settings, *, parent: pulumi.Resource
) -> Host:
    """The machine as a host on which everything is installed that its role asks for."""
    host = Host(planned, machine)
    return host.after(
        host.step(
            f"{host.name}-install",
            "base/install.sh",
            parent=parent,
            variables={
                "HOST_NAME": host.name,
                "HOST_TABLE": plan.host_table,
                "PACKET_FILTER": packet_filter(plan, planned, settings.metrics_from),
                "EXACT": "no" if planned.serves_gluster and names_nodes(plan) else "yes",
                "LOG_DAYS": str(settings.log_days),
                **({"TIME_SERVERS": " ".join(settings.time_servers)} if settings.time_servers else {}),
                "PACKAGES": " ".join(
                    [
                        *packages_of(planned, settings.extra_packages, acme=settings.acme is not None),
                        *machine.packages,
                    ]
                ),
            },
            files={
                "PACKET_FILTER_SERVICE": "base/packet-filter.service",
                "NFTABLES_DROP_IN": "base/nftables.drop-in.conf",
            },
            limit_seconds=900,
        )
    )
