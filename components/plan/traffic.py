"""Who talks to whom: each connection that somebody opens in a cluster, and why.

Packet filters, security groups, the check of machines that exist and the list in docs/existing.md come from this table.
What it does not name is not admitted. Name service and time are the system's own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.plan.topology import FIRST_NODE, LOG_WRITERS, PlannedMachine, Role

TCP, UDP = "tcp", "udp"
VRRP = "112"
"""An IP protocol, not a port."""

SSH_PORT, HTTP_PORT, HTTPS_PORT = 22, 80, 443

STATISTICS_PORT = 8404
"""HAProxy's statistics page, and what the balancers ask each other."""

MEMBERS_PORT = 8405
"""Where PHP nodes ask a balancer who else is there, and which balancer has the floating IP."""

INNER_PORT = 8406
"""Where a PHP node answers the balancers' own questions: whether it can serve, and who of them has the floating IP."""

METRICS_PORT = 8407
"""Where HAProxy and PHP tell their metrics, each on its own machines."""

SESSIONS_PORT = 8408
"""Where the session service of one PHP node asks the one that writes the log."""

EXPORTER_PORT = 9100
"""Where Debian's prometheus-node-exporter tells those of a machine. It may have run there before the cluster did."""

TRIAL_PORTS = RELEASE_TRIAL_PORT, SETTINGS_TRIAL_PORT = 8081, 8082
"""Where a PHP node tries a release, and PHP's settings, before they serve: on its loopback interface, for itself."""

GLUSTERD_PORT = 24007
"""Gluster's daemon. 24008 was for the management of RDMA, which left Gluster with version 8: nothing listens there."""

BRICK_PORTS = (49152, 60999)
"""First and last of the ports from which Gluster draws one for each brick, of any volume (base-port and max-port of
glusterd.vol)."""

ARBITER_PORT = 49200
"""Where the arbiter listens: among the ports of bricks, where `keep-mounted` looks for the mount's connections.
Gluster's default for an arbiter, 24007, is the port of its daemon."""


METADATA = "169.254.169.254"
"""Where clouds tell a machine about itself."""


class Party(enum.Enum):
    """Who opens connections, or takes them. A machine can be of several."""

    VISITORS = "visitors"
    OPERATORS = "operators"
    BALANCERS = "balancers"
    NODES = "nodes"
    ARBITER = "arbiter"
    WRITERS = "writers"
    INTERNET = "internet"
    MONITORING = "monitoring"

    def includes(self, machine: PlannedMachine) -> bool:
        """Whether a machine is of this party. php1 is the arbiter in each profile: it is while the profile changes."""
        match self:
            case Party.BALANCERS:
                return machine.role is Role.LOAD_BALANCER
            case Party.NODES:
                return machine.role is Role.PHP
            case Party.ARBITER:
                return machine.name == FIRST_NODE
            case Party.WRITERS:
                return machine.name in LOG_WRITERS
        return False

    @property
    def is_outside(self) -> bool:
        """Whether these are no machines of the cluster, so that it does not know their addresses."""
        return self in (Party.VISITORS, Party.OPERATORS, Party.INTERNET, Party.MONITORING)


@dataclass(frozen=True)
class Flow:
    """Connections that one party may open to another.

    Attributes:
        name: Security rules of living clusters are named by it.
        source: Who opens them.
        target: Who takes them.
        why: What they are for.
        ports: First and last; None for a protocol without ports.
        protocol: `TCP`, `UDP`, or the number of an IP protocol.
    """

    name: str
    source: Party
    target: Party
    why: str
    ports: tuple[int, int] | None
    protocol: str = TCP

    @property
    def tcp_ports(self) -> tuple[int, int] | None:
        """First and last; None of another protocol."""
        return self.ports if self.protocol == TCP else None

    def is_between(self, source: PlannedMachine, target: PlannedMachine) -> bool:
        """Whether one machine opens such connections to another."""
        return source != target and self.source.includes(source) and self.target.includes(target)


def _flow(name: str, source: Party, target: Party, port: int, why: str) -> Flow:
    return Flow(name, source, target, why, (port, port))


def _from_each(name: str, target: Party, ports: tuple[int, int], why: str) -> Iterable[Flow]:
    """The flows from all machines of a cluster."""
    return (Flow(name.format(each.value), each, target, why, ports) for each in (Party.BALANCERS, Party.NODES))


def _measured(target: Party, what: str) -> Iterable[Flow]:
    """The flows from who collects metrics, if anybody does (`metrics.allowFrom`)."""
    source, name = Party.MONITORING, target.value
    yield _flow(f"metrics-{name}", source, target, METRICS_PORT, f"metrics of {what}")
    yield _flow(f"metrics-machine-{name}", source, target, EXPORTER_PORT, "metrics of the machine")


SESSIONS = _flow("sessions", Party.NODES, Party.WRITERS, SESSIONS_PORT, "sessions, with `sessionStore` `log`")

HTTPS = _flow("web-443", Party.VISITORS, Party.BALANCERS, HTTPS_PORT, "the site, with a certificate")
HTTP3 = Flow("web-443-udp", Party.VISITORS, Party.BALANCERS, "the site, with `http3`", (HTTPS_PORT, HTTPS_PORT), UDP)
CERTIFICATE = _flow("certificate", Party.BALANCERS, Party.BALANCERS, HTTPS_PORT, "the CA's certificate, `acme`")

FLOWS = (
    _flow("web-80", Party.VISITORS, Party.BALANCERS, HTTP_PORT, "the site"),
    HTTPS,
    HTTP3,
    _flow("ssh", Party.OPERATORS, Party.BALANCERS, SSH_PORT, "the steps of `pulumi up`"),
    _flow("ssh", Party.OPERATORS, Party.NODES, SSH_PORT, "the steps of `pulumi up`"),
    _flow("statistics", Party.OPERATORS, Party.BALANCERS, STATISTICS_PORT, "HAProxy's statistics page"),
    _flow("pages", Party.BALANCERS, Party.NODES, HTTP_PORT, "the site's pages"),
    _flow("health", Party.BALANCERS, Party.NODES, INNER_PORT, "health checks, and who has the floating IP"),
    _flow("members", Party.NODES, Party.BALANCERS, MEMBERS_PORT, "which nodes serve, and who has the floating IP"),
    Flow("vrrp", Party.BALANCERS, Party.BALANCERS, "VRRP: who has the floating IP", None, VRRP),
    _flow("watch", Party.BALANCERS, Party.BALANCERS, STATISTICS_PORT, "whether the other balancer serves"),
    CERTIFICATE,
    # Clients ask the daemon of each brick's machine for the brick's port; the bricks' machines heal each other.
    *_from_each("gluster-{}-balancers", Party.BALANCERS, (GLUSTERD_PORT, GLUSTERD_PORT), "Gluster's daemon"),
    *_from_each("bricks-{}-balancers", Party.BALANCERS, BRICK_PORTS, "bricks of `sessions` and `files`, a port each"),
    *_from_each("arbiter-{}", Party.ARBITER, (ARBITER_PORT, ARBITER_PORT), "the arbiter, profile `safe`"),
    SESSIONS,
    *_measured(Party.BALANCERS, "HAProxy"),
    *_measured(Party.NODES, "PHP"),
    *_from_each("out-80-{}", Party.INTERNET, (HTTP_PORT, HTTP_PORT), "packages"),
    *_from_each(
        "out-443-{}", Party.INTERNET, (HTTPS_PORT, HTTPS_PORT), "packages, the API of a cloud, the CA of `acme`"
    ),
)
"""The table."""


def flows(
    *,
    tls: bool = True,
    http3: bool = True,
    acme: bool = True,
    arbiter: bool = True,
    log: bool = True,
    metrics: bool = True,
) -> tuple[Flow, ...]:
    """The flows of a cluster: of one without a certificate, HTTP/3, a CA's certificate, an arbiter, a log of sessions
    or metrics, those that are left."""
    return tuple(
        flow
        for flow in FLOWS
        if (tls or flow is not HTTPS)
        and (http3 or flow is not HTTP3)
        and (acme or flow is not CERTIFICATE)
        and (log or flow is not SESSIONS)
        and (arbiter or Party.ARBITER not in (flow.source, flow.target))
        and (metrics or flow.source is not Party.MONITORING)
    )


def ports_between(
    source: PlannedMachine, target: PlannedMachine, *, acme: bool = False, log: bool = False
) -> tuple[int, ...]:
    """TCP ports of a machine that another one has to reach; of a range its first one."""
    found = flows(acme=acme, arbiter=target.is_arbiter, log=log)
    return tuple(flow.tcp_ports[0] for flow in found if flow.tcp_ports and flow.is_between(source, target))


def ports_listened(machine: PlannedMachine, *, metrics: bool, log: bool = False) -> tuple[int, ...]:
    """TCP ports that the cluster's own daemons take on a machine. Bricks take what is free; SSH is there already, and
    so may be the machine's exporter."""
    others = [(SSH_PORT, SSH_PORT), (EXPORTER_PORT, EXPORTER_PORT), BRICK_PORTS]
    taken = [
        flow.tcp_ports[0]
        for flow in flows(arbiter=machine.is_arbiter, log=log, metrics=metrics)
        if flow.target.includes(machine) and flow.tcp_ports and flow.tcp_ports not in others
    ]
    return tuple(dict.fromkeys([*taken, *(TRIAL_PORTS if machine.role is Role.PHP else ())]))


def metrics_ports(machine: PlannedMachine) -> tuple[tuple[int, int], ...]:
    """Ranges of TCP ports of a machine that only those may reach who collect metrics."""
    return tuple(
        flow.ports for flow in FLOWS if flow.ports and flow.source is Party.MONITORING and flow.target.includes(machine)
    )


def guarded_ports(machine: PlannedMachine) -> Mapping[frozenset[Party], tuple[tuple[int, int], ...]]:
    """Ranges of TCP ports of a machine that only machines of the cluster may reach, by those that may."""
    sources: dict[tuple[int, int], frozenset[Party]] = {}
    for flow in FLOWS:
        if flow.tcp_ports and flow.target.includes(machine):
            sources[flow.tcp_ports] = sources.get(flow.tcp_ports, frozenset()) | {flow.source}
    return {
        parties: tuple(ports for ports, those in sources.items() if those == parties)
        for parties in dict.fromkeys(sources.values())
        if not any(party.is_outside for party in parties)
    }
