"""The whole cluster on machines that exist: what `pulumi stack graph` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_random as random

from components.balancer.load_balancer import (
    STATISTICS_PORT,
    STATISTICS_USER,
    Certificate,
    FloatingIp,
    LoadBalancerPair,
    LoadBalancerPairArgs,
)
from components.base.packet_filter import names_nodes, packet_filter, shut_out
from components.gluster.arbiter import arbiter_agrees, arbiter_is_leaving, arbiter_left, arbiter_runs
from components.gluster.tls import GlusterTls
from components.gluster.volume import BrickHost, TrustedPool, Volume
from components.php.node import (
    FIRST_NODE,
    SETTINGS_SERVERS,
    PhpNode,
    PhpNodeArgs,
    WebRules,
    nginx_site,
    session_cookie,
    settings_tried,
    waiting_places,
)
from components.plan import topology
from components.plan.packages import packages_of
from components.plan.settings import Settings
from components.plan.topology import ARBITER_HOST, Profile, Topology
from components.plan.volume_options import options_of
from components.sessions.extension import extension_made
from components.sessions.profile_switch import ProfileSwitch, handover, plain_sessions
from components.site.jobs import environment_steps
from components.site.package import Site
from components.site.release import SiteHost, SiteRelease
from components.site.shared_files import Sharing
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import remote_step


class PhpCluster(pulumi.ComponentResource):
    """Two load balancers with a floating IP, the replicated volume, N PHP nodes, and the site on them.

    Attributes:
        url: Where the site answers.
        floating_ip: The address that the active load balancer owns.
        statistics_url: HAProxy's statistics page; user `admin`.
        statistics_password: Its password, a secret.
        volume_info: What `gluster volume info` says.
        mounts: PHP node to the line that mounts its sessions.
    """

    url: pulumi.Output[str]
    floating_ip: pulumi.Output[str]
    statistics_url: pulumi.Output[str]
    statistics_password: pulumi.Output[str]
    volume_info: pulumi.Output[str]
    mounts: dict[str, str]

    def __init__(
        self,
        name: str,
        settings: Settings,
        plan: Topology,
        machines: Mapping[str, Machine],
        site: Site,
        *,
        last: LastUpdate,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("php-cluster:cluster:PhpCluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        installed = {
            planned.name: remote_step(
                f"{planned.name}-install",
                machines[planned.name],
                "base/install.sh",
                parent=self,
                variables={
                    "HOST_NAME": planned.name,
                    "HOST_TABLE": plan.host_table,
                    "PACKET_FILTER": packet_filter(plan, planned),
                    "EXACT": "no" if planned.guards_bricks and names_nodes(plan) else "yes",
                    "PACKAGES": " ".join(
                        [*packages_of(planned, settings.extra_packages), *machines[planned.name].packages]
                    ),
                },
                files={
                    "PACKET_FILTER_SERVICE": "base/packet-filter.service",
                    "NFTABLES_DROP_IN": "base/nftables.drop-in.conf",
                },
                limit_seconds=900,
            )
            for planned in plan.machines
        }
        tls = GlusterTls("gluster-tls", plan, machines, installed, opts=child) if settings.gluster_tls else None
        trusting = {planned.name: tls.ready(planned.name) if tls else [] for planned in plan.machines}
        arbiter_host = machines[ARBITER_HOST]
        switch = ProfileSwitch(settings.profile, last)
        extended = {
            planned.name: [extension_made(machines[planned.name], parent=self, depends_on=[installed[planned.name]])]
            for planned in plan.php_nodes
            if settings.profile is Profile.SAFE or switch.hands_over(planned.name)
        }
        environment = {
            planned.name: environment_steps(
                machines[planned.name], settings.application.environment, last, self, [installed[planned.name]]
            )
            for planned in plan.php_nodes
        }
        sharing = Sharing(settings.shared, plan, machines, last, tls=settings.gluster_tls, parent=self)
        web = _web_rules(settings, site)
        balancers = [machines[planned.name] for planned in plan.balancers]
        self.floating_ip = _floating_ip(plan, balancers)
        host = settings.site_name or self.floating_ip
        tried = settings_tried(
            machines[FIRST_NODE],
            settings,
            nginx_site(plan, settings.php_settings, settings.request_seconds, web, SETTINGS_SERVERS),
            host_name=host,
            parent=self,
            depends_on=[installed[FIRST_NODE], *environment[FIRST_NODE]],
        )
        nodes = [
            PhpNode(
                planned.name,
                PhpNodeArgs(
                    machine=machines[planned.name],
                    profile=settings.profile,
                    installed=installed[planned.name],
                    php_settings=settings.php_settings,
                    workers=settings.php_workers,
                    request_seconds=settings.request_seconds,
                    plan=plan,
                    environment_names=list(settings.application.environment),
                    environment=environment[planned.name],
                    tls=settings.gluster_tls,
                    trusting=trusting[planned.name],
                    extended=extended.get(planned.name, []),
                    web=web,
                    tried=[tried],
                ),
                opts=child,
            )
            for planned in plan.php_nodes
        ]
        pool = TrustedPool(
            "pool",
            [BrickHost(machines[host.name], installed[host.name], trusting[host.name]) for host in plan.brick_hosts],
            opts=child,
        )
        prepared = switch.prepare(
            nodes,
            lambda node, after: handover(machines[node], settings, self, [*extended[node], *after]),
            after=pool.ready,
        )
        options = options_of(settings.profile, settings.volume_options, tls=settings.gluster_tls)
        volume = Volume(
            topology.VOLUME,
            plan,
            options,
            pool,
            tls=settings.gluster_tls,
            after=[*prepared, *sharing.prepare(pool)],
            opts=child,
        )
        shared = sharing.create(pool, installed, after=volume.restored)
        arbiters: list[pulumi.Resource] = []
        if plan.arbiter:
            ready = [installed[ARBITER_HOST], *trusting[ARBITER_HOST], *shared]
            arbiters.append(
                arbiter_runs(arbiter_host, volume.id, tls=settings.gluster_tls, parent=self, depends_on=ready)
            )
        volume.arbitrate(after=arbiters)
        turned = (
            [plain_sessions(machines[FIRST_NODE], settings, self, after=volume.arbitrated)]
            if switch.turns_records()
            else []
        )
        switch.bring_up(volume, nodes, turned)
        # To give a volume another layout takes the pool's daemon away, and healing has to be asked for there.
        sharing.bring_up(nodes, after=volume.whole if switch.under_way else volume.started)
        if plan.arbiter:
            arbiter_agrees(arbiter_host, brick_hosts=volume.identities, parent=self, after=volume.whole)
        elif arbiter_is_leaving(last):
            arbiter_left(arbiter_host, self, after=sharing.started or volume.started)

        release = SiteRelease(
            "site",
            [SiteHost(machines[node.name], installed[node.name], sharing.ready(node)) for node in nodes],
            site,
            settings.application,
            health_path=settings.health_path,
            host_name=host,
            shared=sharing.seeds(),
            opts=child,
        )

        password = random.RandomPassword("statistics-password", length=24, special=False, opts=child)
        balancing = LoadBalancerPair(
            "load-balancers",
            LoadBalancerPairArgs(
                plan=plan,
                machines=balancers,
                installed=[installed[balancer.name] for balancer in balancers],
                nodes_serving=release.serving,
                request_seconds=settings.request_seconds,
                statistics_password=password.result,
                certificate=_certificate(settings),
                trusted_proxies=settings.trusted_proxies,
                proxy_protocol=settings.proxy_protocol,
                session_cookie=session_cookie(settings.php_settings),
                at_once=waiting_places(settings.php_workers),
            ),
            opts=child,
        )
        volume.revoke(balancing.serving)
        sharing.finish(pool, after=[*balancing.serving, volume.revoked])
        if tls:
            tls.distrust(balancing.serving)
        self._shut_out_others(plan, machines, installed, balancing.serving)
        FloatingIp(
            "floating-ip",
            plan,
            machines=balancers,
            installed=installed,
            volume_configured=volume.configured,
            balancing=balancing.serving,
            address=self.floating_ip,
            opts=child,
        )
        self._wait_for_site(balancers, plan, balancing.serving)

        self.url = pulumi.Output.concat("https" if settings.tls_certificate else "http", "://", host, "/")
        # An Elastic IP is for visitors; the page is for who is inside.
        statistics_address = plan.floating_ip or plan.balancers[0].address
        self.statistics_url = pulumi.Output.from_input(f"http://{statistics_address}:{STATISTICS_PORT}/")
        self.statistics_password = pulumi.Output.secret(password.result)
        self.volume_info = volume.show()
        self.mounts = {node.name: node.mount_line for node in nodes}
        self.register_outputs({"url": self.url, "statisticsUser": STATISTICS_USER})

    def _shut_out_others(
        self,
        plan: Topology,
        machines: Mapping[str, Machine],
        installed: Mapping[str, pulumi.Resource],
        balancing: Sequence[pulumi.Resource],
    ) -> None:
        """Where packet filters name the PHP nodes, those that have left are shut out when no request is on them."""
        guards = [planned for planned in plan.machines if planned.guards_bricks and names_nodes(plan)]
        for planned in guards:
            rules, drained = packet_filter(plan, planned), [installed[planned.name], *balancing]
            shut_out(machines[planned.name], rules, parent=self, drained=drained)

    def _wait_for_site(
        self, balancers: Sequence[Machine], plan: Topology, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        for balancer in balancers:
            remote_step(
                f"{balancer.name}-site-answers",
                balancer,
                "balancer/site-answers.sh",
                parent=self,
                variables={"PHP_NODES": " ".join(node.name for node in plan.php_nodes)},
                depends_on=depends_on,
            )


def _web_rules(settings: Settings, site: Site) -> WebRules:
    return WebRules(
        settings.site_name,
        # What is set has the last word.
        (*site.closed_folders, *settings.deny_paths),
        # One who speaks the PROXY protocol passes on what the visitor wrote.
        () if settings.proxy_protocol else settings.trusted_proxies,
        site.post_max_sizes,
        shares_files=bool(settings.shared),
    )


def _floating_ip(plan: Topology, balancers: Sequence[Machine]) -> pulumi.Output[str]:
    elastic = balancers[0].elastic_ip
    return elastic.address if elastic else pulumi.Output.from_input(plan.floating_ip or "")


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, pulumi.Output.secret(settings.tls_key))
