"""The two load balancers and the floating IP between them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.balancer.certificate import ACME_PATH
from components.balancer.status_page import page_values
from components.plan.limits import USUAL, Limits
from components.plan.php_settings import DEFAULT_SESSION_NAME, HEADER_KIB
from components.plan.topology import DRAIN_SECONDS, Topology
from components.plan.traffic import INNER_PORT, MEMBERS_PORT, STATISTICS_PORT
from components.steps.host import Host
from components.steps.remote import render

STATISTICS_USER = "admin"

DEFAULT_WORKERS = 8
DEFAULT_AT_ONCE = 6
"""As many requests of one session as a browser sends at a time to a server of HTTP/1.1."""

WINDOW = 10
"""Seconds over which requests and new sessions of a source are counted: a page with all that belongs to it is a burst,
and a flood is noticed before it has cost much."""

SESSION_REQUESTS = 200
"""How many requests of one session may be under way, with those that wait: what two connections of HTTP/2 carry."""

PLACES_PER_WORKER = 4
"""How many requests a node gets at once for each of its PHP workers. Most are files, or bodies that still travel, and
need no worker; what does need one and finds none has three others before it at most. The rest waits at the balancer."""

CROWDS = 8
"""Sources that ask for much at once share places with one in so many of their kind. haproxy.sh knows the number too."""

SITE_CONNECTIONS, INNER_CONNECTIONS = 8_000, 200
"""How many connections the site takes, and each port at which machines and operators ask. The process takes all of them
together, so that visitors never take the places of the balancers' own questions. Of 32 KiB for each request and each
answer the site needs 500 MiB at worst; and the process has two files for each connection, some 17,000."""

CLAIMS = (
    *("forwarded", "proxy", "front-end-https", "x-url-scheme", "x-scheme"),
    *("x-real-ip", "x-client-ip", "client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ipv?6?"),
    *("fastly-client-ip", "x-remote-ip", "x-remote-addr", "x-originating-ip", "x-proxyuser-ip", "wl-proxy-client-ip"),
    *("x-host", "x-http-host-override", "x-original-.*", "x-rewrite-url", "x-(sendfile-type|accel-mapping)"),
    *("remote-user", "x-remote-user"),
)
"""Headers (parts of a regular expression, in small letters) by which some application believes what a client says of
itself, of the host that it asked, or of the server's own doings; beside all that begin with X-Forwarded."""

TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
TLS12_CIPHERS = (
    *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    *("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    *("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
    *("DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305"),
)
"""What visitors may speak: Mozilla's intermediate profile, version 5.7."""

HTTP3_SECONDS = 3600
"""How long a browser remembers that there is HTTP/3, and tries it first after it is gone."""

QUIC_BACKLOG = 256
"""How many QUIC connections may be in their handshake, or wait to be accepted, at one address: half of it each, and the
others try again, or go by TCP. Nobody counts them to a frontend yet, so they have places of their own, of two files
each: all together stay below 20,000, which is all that some containers allow."""

QUIC_BUFFERS = 15
"""How many buffers of an answer may wait for a visitor's acknowledgement: as many bytes as by HAProxy's defaults."""

TLS_PATH = "/etc/haproxy/php-cluster.pem"

MAINTENANCE_MAP = "/etc/haproxy/maintenance.map"
MAINTENANCE_PAGE = "/etc/haproxy/maintenance.html"
"""What scripts/maintenance writes: whether visitors are to come back later, and what they get meanwhile. An update
leaves both as they are."""

INTERFACE_MARK = "@INTERFACE@"
"""Stands for the interface's name until keepalived.sh finds it on the machine."""

ADVERT_SECONDS = 0.3
ELASTIC_ADVERT_SECONDS = 1
"""How often the active balancer says that it lives; the spare acts after three missed ones. Longer between zones of a
cloud, where a hiccup is likelier and a needless move costs seconds."""

PRIORITIES = (150, 100)
"""VRRP priorities of lb1 and lb2: they differ so that a simultaneous start has one winner."""


_CONSTANTS: Mapping[str, Any] = {
    "members_port": MEMBERS_PORT,
    "statistics_port": STATISTICS_PORT,
    "inner_port": INNER_PORT,
    "statistics_user": STATISTICS_USER,
    "tls13_ciphers": TLS13_CIPHERS,
    "tls12_ciphers": TLS12_CIPHERS,
    "header_kib": HEADER_KIB,
    "claims": CLAIMS,
    "window": WINDOW,
    "maintenance_map": MAINTENANCE_MAP,
    "maintenance_page": MAINTENANCE_PAGE,
}
"""What every configuration has alike, by the template's words."""


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its private key, both in PEM."""

    chain: str
    key: pulumi.Output[str]


@dataclass(frozen=True)
class Http3:
    """What a balancer takes HTTP/3 with.

    Attributes:
        addresses: Where. A socket of all addresses would answer from the machine's own what has no connection yet, or
            none any more.
        secret: What both balancers have alike, so that one tells the other's visitors that their connection is gone.
        seconds, backlog, buffers: See above.
    """

    addresses: Sequence[str]
    secret: str
    seconds: int = HTTP3_SECONDS
    backlog: int = QUIC_BACKLOG
    buffers: int = QUIC_BUFFERS


def haproxy_configuration(
    plan: Topology,
    index: int,
    statistics_password: str,
    *,
    tls: bool,
    request_seconds: int,
    trusted_proxies: Sequence[str] = (),
    proxy_protocol: bool = False,
    session_cookie: str = DEFAULT_SESSION_NAME,
    at_once: int = DEFAULT_AT_ONCE,
    workers: int = DEFAULT_WORKERS,
    limits: Limits = USUAL,
    health_path: str = "/",
    metrics: bool = False,
    acme_thumbprint: str = "",
    hsts_seconds: int = 0,
    http3: Http3 | None = None,
) -> str:
    """The text of haproxy.cfg for the load balancer with this index (0 or 1).

    Of requests with the same `session_cookie`, so many as `at_once` says are with PHP at a time, and a few more wait. A
    node has so many `workers`. `limits` has what one source may take.
    `health_path`, if it is a page of its own, is the site's during maintenance, too. `metrics` opens
    HAProxy's exporter. `acme_thumbprint` is of the account with a CA whose certificate is served.
    """
    return render(
        "balancer/haproxy.cfg.j2",
        **_CONSTANTS,
        name=plan.balancers[index].name,
        address=plan.balancers[index].address,
        peer=plan.balancers[1 - index],
        ipv6=plan.floating_ip6 is not None,
        php_nodes=plan.php_nodes,
        **(page_values(plan, index) if metrics else {"metrics_port": 0}),
        certificate_path=ACME_PATH if acme_thumbprint else TLS_PATH if tls else "",
        acme_thumbprint=acme_thumbprint,
        hsts_seconds=hsts_seconds,
        http3=http3,
        statistics_password=statistics_password,
        request_seconds=request_seconds,
        trusted_proxies=trusted_proxies,
        proxy_protocol=proxy_protocol,
        session_cookie=session_cookie,
        at_once=at_once,
        **_places(len(plan.php_nodes), workers, limits),
        limits=limits,
        # A proxy that names the visitor in a header asks for many; one that speaks the PROXY protocol is never seen.
        unlimited=[*limits.exempt, *(() if proxy_protocol else trusted_proxies)],
        # Who watches the site goes on watching it; where that is its first page, visitors ask for it too.
        open_path="" if health_path.partition("?")[0] == "/" else health_path.partition("?")[0],
    )


def _places(nodes: int, workers: int, limits: Limits) -> dict[str, int]:
    """How many connections and requests have a place where, by the template's words."""
    # Of one source, half as they come, and half when there is a place among others of its kind.
    source_at_once = max(1, (limits.requests_at_once or workers * nodes // 2) // 2)
    return {
        "source_at_once": source_at_once,
        "crowds": CROWDS,
        "crowded_places": -(-source_at_once // nodes),
        "session_requests": SESSION_REQUESTS,
        "places": PLACES_PER_WORKER * workers,
        "site_connections": SITE_CONNECTIONS,
        "inner_connections": INNER_CONNECTIONS,
    }


def keepalived_configuration(
    plan: Topology, index: int, interface: str | None, elastic_addresses: Sequence[str] = ()
) -> str:
    """The text of keepalived.conf for the load balancer with this index (0 or 1).

    What is sent to an Elastic IP arrives at one of `elastic_addresses`, another one on each balancer. The active one
    puts on both, since the two have to agree on what they advertise; the network brings it what is for its own.
    """
    return render(
        "balancer/keepalived.conf.j2",
        name=plan.balancers[index].name,
        interface=interface or INTERFACE_MARK,
        # Must differ between clusters of one network; the floating IP does.
        virtual_router_id=int(ipaddress.IPv4Address(plan.floating_ip or plan.balancers[0].address)) % 255 + 1,
        priority=PRIORITIES[index],
        advert_seconds=ELASTIC_ADVERT_SECONDS if elastic_addresses else ADVERT_SECONDS,
        address=plan.balancers[index].address,
        peer_address=plan.balancers[1 - index].address,
        virtual_addresses=[f"{address}/32" for address in elastic_addresses]
        or [f"{plan.floating_ip}/{plan.network.prefixlen}"],
        floating_ip6=plan.floating_ip6,
        elastic=bool(elastic_addresses),
    )


@dataclass(frozen=True)
class LoadBalancerPairArgs:
    """What the pair is made from.

    Attributes:
        plan: Names and addresses of all machines.
        hosts: lb1 and lb2.
        nodes_serving: The steps after which the PHP nodes serve. HAProxy treats a new server as healthy until its first
            health check, so a node is added to its list only then.
        request_seconds: How long a page may take.
        statistics_password: The password of HAProxy's statistics page.
        certificate: For HTTPS; None serves plain HTTP, unless a CA's is asked for.
        trusted_proxies: Networks of proxies that say who the visitor is.
        proxy_protocol: Whether they say it by the PROXY protocol.
        session_cookie: The cookie that names a visitor's session.
        at_once: How many requests of one session may be with PHP at a time.
        workers: PHP processes of a node.
        limits: What one source may take.
        health_path: The page by which the site is watched.
        metrics: Whether somebody collects HAProxy's metrics.
        acme_thumbprint: Of the account with a CA; empty without one.
        hsts_seconds: For how long browsers are to ask by https only; 0 leaves it to them.
        http3_secret: Of `Http3`; None without HTTP/3.
    """

    plan: Topology
    hosts: Sequence[Host]
    nodes_serving: Sequence[pulumi.Resource]
    request_seconds: int
    statistics_password: pulumi.Output[str]
    certificate: Certificate | None
    trusted_proxies: Sequence[str] = ()
    proxy_protocol: bool = False
    session_cookie: str = DEFAULT_SESSION_NAME
    at_once: int = DEFAULT_AT_ONCE
    workers: int = DEFAULT_WORKERS
    limits: Limits = USUAL
    health_path: str = "/"
    metrics: bool = False
    acme_thumbprint: pulumi.Input[str] = ""
    hsts_seconds: int = 0
    http3_secret: pulumi.Output[str] | None = None

    def http3(self, index: int, secret: str | None) -> Http3 | None:
        """That of the balancer with this index (0 or 1), with the secret as it is known by now."""
        if secret is None:
            return None
        elastic = self.hosts[index].machine.elastic_ip
        addresses = [elastic.local_address if elastic else self.plan.floating_ip, self.plan.floating_ip6]
        return Http3([address for address in addresses if address], secret)


class LoadBalancerPair(pulumi.ComponentResource):
    """HAProxy over all PHP nodes, on both balancers alike.

    Attributes:
        serving: The steps after which both balance.
    """

    serving: list[pulumi.Resource]

    def __init__(self, name: str, args: LoadBalancerPairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("php-cluster:load_balancer:LoadBalancerPair", name, None, opts)
        certificate = args.certificate
        pem: pulumi.Input[str] = ""
        if certificate is not None:
            chain = certificate.chain
            pem = certificate.key.apply(lambda key: f"{chain.rstrip()}\n{key.rstrip()}\n")

        def configuration(index: int) -> pulumi.Output[str]:
            return pulumi.Output.all(args.statistics_password, args.acme_thumbprint, args.http3_secret).apply(
                lambda known: haproxy_configuration(
                    args.plan,
                    index,
                    known[0],
                    tls=certificate is not None,
                    request_seconds=args.request_seconds,
                    trusted_proxies=args.trusted_proxies,
                    proxy_protocol=args.proxy_protocol,
                    session_cookie=args.session_cookie,
                    at_once=args.at_once,
                    workers=args.workers,
                    limits=args.limits,
                    health_path=args.health_path,
                    metrics=args.metrics,
                    acme_thumbprint=known[1],
                    hsts_seconds=args.hsts_seconds,
                    http3=args.http3(index, known[2]),
                )
            )

        self.serving = [
            host.after(*args.nodes_serving).step(
                f"{host.name}-haproxy",
                "balancer/haproxy.sh",
                parent=self,
                variables={
                    "HAPROXY_CFG": configuration(index),
                    "TLS_PEM": pem,
                    "TLS_PATH": TLS_PATH,
                    "DRAIN_SECONDS": str(DRAIN_SECONDS),
                    "MAINTENANCE_MAP": MAINTENANCE_MAP,
                    "MAINTENANCE_PAGE": MAINTENANCE_PAGE,
                },
                files={
                    "HAPROXY_DROP_IN": "balancer/haproxy.drop-in.conf",
                    "MAINTENANCE_HTML": "balancer/maintenance.html",
                },
            )
            for index, host in enumerate(args.hosts)
        ]
        self.register_outputs({})


class FloatingIp(pulumi.ComponentResource):
    """The address that the active load balancer owns; the spare watches it and takes over.

    Attributes:
        held: The step after which one of them has it.
    """

    held: pulumi.Resource

    def __init__(
        self,
        name: str,
        plan: Topology,
        *,
        hosts: Sequence[Host],
        volume_configured: pulumi.Resource,
        balancing: Sequence[pulumi.Resource],
        address: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("php-cluster:load_balancer:FloatingIp", name, None, opts)
        elastic = [host.machine.elastic_ip.local_address for host in hosts if host.machine.elastic_ip]
        watching = [
            # Not after HAProxy: until that serves, watch-balancer keeps the address away.
            host.after(volume_configured, *self._movers(host)).step(
                f"{host.name}-keepalived",
                "balancer/keepalived.sh",
                parent=self,
                variables={
                    "KEEPALIVED_CONF": keepalived_configuration(plan, index, host.machine.interface, elastic),
                    "FLOATING_IP": elastic[index] if elastic else plan.floating_ip or "",
                    "PEER": plan.balancers[1 - index].name,
                    # The one that is always there.
                    "WITNESS": plan.php_nodes[0].address,
                    "ADDRESS": host.planned.address,
                },
                files={
                    "WATCH_BALANCER": "balancer/watch-balancer",
                    "BALANCER_SERVICE": "balancer/balancer.service",
                    "KEEPALIVED_DROP_IN": "balancer/keepalived.drop-in.conf",
                },
            )
            for index, host in enumerate(hosts)
        ]
        self.held = hosts[0].step(
            "floating-ip",
            "balancer/elastic-ip-held.sh" if elastic else "balancer/floating-ip.sh",
            parent=self,
            variables={"FLOATING_IP": address},
            after=[*watching, *balancing],
        )
        if plan.floating_ip6:
            hosts[0].step(
                "floating-ip6",
                "balancer/floating-ip6.sh",
                parent=self,
                variables={"FLOATING_IP6": plan.floating_ip6},
                after=[self.held],
            )
        self.register_outputs({"address": address})

    def _movers(self, host: Host) -> list[pulumi.Resource]:
        """The step after which an Elastic IP follows keepalived; none where VRRP alone moves the address."""
        if host.machine.elastic_ip is None:
            return []
        step = host.step(
            f"{host.name}-elastic-ip",
            "balancer/elastic-ip.sh",
            parent=self,
            variables={"SETTINGS": host.machine.elastic_ip.settings},
            files={"PROGRAM": "balancer/elastic-ip", "ELASTIC_IP_SERVICE": "balancer/elastic-ip.service"},
        )
        return [step]
