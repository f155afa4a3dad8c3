"""TLS on Gluster's connections: a key and a certificate for each machine, and who trusts whom.

Each machine makes its own key and signs its own certificate. What travels is the certificate alone, as the output of
that step, and the machines that have it trust it. So there is no authority whose key would have to be kept somewhere. A
machine that comes, is replaced or leaves changes the lists of others, and Gluster reads its list anew for each
connection (socket.c of 10.3 makes a context for every one), so that nothing is restarted for it.

Servers, which are the brick hosts and the arbiter's machine, trust all machines, other PHP nodes the servers: those are
all they talk to, and one more node touches no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi

from components.plan.config_values import made_otherwise
from components.plan.topology import Topology
from components.steps.host import Host
from components.steps.last_update import LastUpdate

KEY = "glusterTls"


def check_choice(wanted: bool, last: LastUpdate) -> None:
    """Refuses another choice than the one that the stack was made with.

    Args:
        wanted: Whether the settings ask for TLS.
        last: What the last update left.

    Raises:
        ConfigError: it is another one: machines with TLS and machines without it would not understand each other while
            one after the other changes.
    """
    encrypted = bool(last.machines_with("gluster-certificate"))
    exists = encrypted or bool(last.machines_with("brick"))
    if exists and wanted is not encrypted:
        made, other = ("with", "without") if encrypted else ("without", "with")
        raise made_otherwise(
            KEY,
            str(wanted).lower(),
            str(encrypted).lower(),
            was=f"{made} TLS on Gluster's connections",
            another=f"{other} it",
        )


class GlusterTls(pulumi.ComponentResource):
    """The machines' certificates for Gluster's connections, and the lists of those that each trusts.

    Attributes:
        hosts: Machine to its host, ready when it and the servers trust each other.
    """

    hosts: Mapping[str, Host]

    def __init__(
        self, name: str, plan: Topology, hosts: Mapping[str, Host], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("php-cluster:gluster_tls:GlusterTls", name, None, opts)
        self._servers = [hosts[server.name] for server in (*plan.balancers, *([plan.arbiter] if plan.arbiter else []))]
        names = [server.name for server in self._servers]
        issued = {
            name: host.step(
                f"{name}-gluster-certificate",
                "gluster/gluster-certificate.sh",
                parent=self,
                variables={"NAME": name},
                quiet=True,
            ).stdout
            for name, host in hosts.items()
        }
        self._everybody = _list(list(issued.values()))
        known_to_nodes = _list([issued[server] for server in names])
        # A node that leaves is trusted until no request is on it: see `revoke`.
        self._trusting = {
            name: self._trust(f"{name}-gluster-trust", host, self._everybody, exact=False)
            if name in names
            else self._trust(f"{name}-gluster-trust", host, known_to_nodes, exact=True)
            for name, host in hosts.items()
        }
        self.hosts = {
            name: host.after(*[self._trusting[each] for each in dict.fromkeys([name, *names])])
            for name, host in hosts.items()
        }
        self.register_outputs({})

    def _trust(self, name: str, host: Host, certificates: pulumi.Output[str], *, exact: bool) -> pulumi.Resource:
        return host.step(
            name,
            "gluster/gluster-trust.sh",
            parent=self,
            variables={"CERTIFICATES": certificates, "EXACT": "yes" if exact else "no"},
        )

    def revoke(self, drained: Sequence[pulumi.Resource]) -> None:
        """Ends the trust in nodes that leave, after the steps that keep requests away from them."""
        for server in self._servers:
            trusting = replace(server, ready=[self._trusting[server.name], *drained])
            self._trust(f"{server.name}-gluster-distrust", trusting, self._everybody, exact=True)


def _list(certificates: Sequence[pulumi.Output[str]]) -> pulumi.Output[str]:
    return pulumi.Output.all(*certificates).apply(lambda texts: "".join(f"{text.strip()}\n" for text in texts))
