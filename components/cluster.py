"""The whole cluster on machines that exist: what `pulumi stack graph` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_random as random

from components.balancer.certificate import AcmeCertificate, certificate_left
from components.balancer.load_balancer import (
    STATISTICS_USER,
    Certificate,
    FloatingIp,
    LoadBalancerPair,
    LoadBalancerPairArgs,
)
from components.balancer.status_page import page_left, page_ready
from components.base import packet_filter
from components.base.install import installed
from components.base.metrics import metrics_left, metrics_told
from components.gluster.arbiter import arbiter_agrees, arbiter_is_leaving, arbiter_left, arbiter_runs
from components.gluster.tls import GlusterTls
from components.gluster.volume import StartedVolume, TrustedPool, Volume
from components.php.mount import fstab_line
from components.php.node import PhpNode, WebRules, session_cookie, settings_tried, waiting_places
from components.plan import topology
from components.plan.settings import Settings
from components.plan.topology import FIRST_NODE, Profile, SessionStore, Topology
from components.plan.traffic import STATISTICS_PORT
from components.plan.volume_options import options_of
from components.sessions import log as session_log
from components.sessions import store_switch
from components.sessions.extension import extension_made, session_store
from components.sessions.profile_switch import HANDOVER, PLAIN_SESSIONS, ProfileSwitch, handover, plain_sessions
from components.sessions.store_switch import StoreSwitch
from components.site import shared_files
from components.site.jobs import environment_steps
from components.site.package import Site
from components.site.release import SiteRelease
from components.site.shared_files import SharedFiles
from components.steps.host import Host
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.order import Make, StepsInOrder

Hosts = Mapping[str, Host]
"""By the machine's name."""


@dataclass(frozen=True)
class _Storage:
    """What PHP nodes keep their data on.

    Attributes:
        sessions: The volume with the sessions.
        files: The volume with what the site shares beside them, if anything.
        running: PHP node to the steps after which PHP runs there, with the volumes mounted.
        files_mounted: PHP node to the step after which it mounts `files`; empty where nothing is shared.
    """

    sessions: StartedVolume
    files: StartedVolume | None
    running: Mapping[str, Sequence[pulumi.Resource]]
    files_mounted: Mapping[str, pulumi.Resource]


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
        self._settings, self._plan, self._last = settings, plan, last
        self._hosts = {
            planned.name: installed(planned, machines[planned.name], plan, settings, parent=self)
            for planned in plan.machines
        }
        tls = GlusterTls("gluster-tls", plan, self._hosts, opts=child) if settings.gluster_tls else None
        trusting = tls.hosts if tls else self._hosts
        balancers = [self._hosts[planned.name] for planned in plan.balancers]
        self.floating_ip = _floating_ip(plan, balancers)
        host_name = settings.site_name or self.floating_ip
        storage = self._storage(trusting, self._node_steps(trusting, _web_rules(settings, site), host_name))
        release = SiteRelease(
            "site",
            [self._hosts[node.name] for node in plan.php_nodes],
            site,
            settings,
            host_name=host_name,
            running=storage.running,
            files_mounted=storage.files_mounted.get(FIRST_NODE),
            opts=child,
        )
        password = random.RandomPassword("statistics-password", length=24, special=False, opts=child).result
        acme = AcmeCertificate.of(settings, parent=self)
        balancing = self._balance(balancers, release.serving, password, acme)
        self.volume_info = self._revoke(storage, tls, balancing)
        floating = FloatingIp(
            "floating-ip",
            plan,
            hosts=balancers,
            volume_configured=storage.sessions.configured,
            balancing=balancing,
            address=self.floating_ip,
            opts=child,
        )
        self._wait_for_site(balancers, balancing)
        self._certify(balancers, acme, balancing, floating.held)
        self._measure(balancers, balancing)
        self.url = pulumi.Output.concat("https" if settings.tls else "http", "://", host_name, "/")
        # An Elastic IP is for visitors; the page is for who is inside.
        statistics_address = plan.floating_ip or plan.balancers[0].address
        self.statistics_url = pulumi.Output.from_input(f"http://{statistics_address}:{STATISTICS_PORT}/")
        self.statistics_password = pulumi.Output.secret(password)
        self.mounts = {node.name: fstab_line(settings.profile) for node in plan.php_nodes}
        self.register_outputs({"url": self.url, "statisticsUser": STATISTICS_USER})

    def _node_steps(self, trusting: Hosts, web: WebRules, host_name: pulumi.Input[str]) -> StepsInOrder:
        """The steps of PHP nodes whose order the change of a profile, or of the session store, decides."""
        settings, plan, has_log = self._settings, self._plan, self._settings.session_store is SessionStore.LOG
        names = [node.name for node in plan.php_nodes]
        waits = ProfileSwitch(settings.profile, self._last).waits(plan.php_nodes)
        waits = StoreSwitch(settings.session_store, self._last).waits(names, waits)
        variables = settings.application.environment
        hosts = {node.name: self._hosts[node.name] for node in plan.php_nodes}
        informed = {
            name: host.after(*environment_steps(host, variables, self._last, parent=self))
            for name, host in hosts.items()
        }
        tried = settings_tried(informed[FIRST_NODE], settings, plan, web, host_name=host_name, parent=self)
        makers: dict[str, Make] = {}
        extended: dict[str, Host] = {}
        for name, host in hosts.items():
            is_extended = settings.profile is Profile.SAFE or f"{name}{HANDOVER}" in waits
            extension = [extension_made(host, parent=self)] if is_extended else []
            if has_log:
                extension.append(session_log.service_runs(trusting[name], parent=self))
            extended[name] = host.after(*extension)
            node = PhpNode(
                settings,
                plan,
                web,
                mounts=trusting[name],
                serves=informed[name].after(*extension, tried),
                session_store=session_store(settings),
                opts=pulumi.ResourceOptions(parent=self),
            )
            makers |= {f"{name}-mount": node.mount, f"{name}-php": node.serve}
            if f"{name}{HANDOVER}" in waits:
                makers[f"{name}{HANDOVER}"] = partial(handover, extended[name], settings, parent=self)
        if PLAIN_SESSIONS in waits:
            makers[PLAIN_SESSIONS] = partial(plain_sessions, hosts[FIRST_NODE], settings, parent=self)
        if has_log:
            makers[session_log.SESSION_LOG] = partial(session_log.log_begun, extended[FIRST_NODE], parent=self)
        return StepsInOrder(waits, makers | store_switch.makers(extended, settings, waits, parent=self))

    def _storage(self, trusting: Hosts, order: StepsInOrder) -> _Storage:
        """The volumes, and PHP nodes that mount them."""
        settings, plan, tls = self._settings, self._plan, self._settings.gluster_tls
        child = pulumi.ResourceOptions(parent=self)
        shared_files.warn_of_unshared(settings.shared, self._last)
        pool = TrustedPool("pool", [trusting[host.name] for host in plan.balancers], opts=child)
        order.add("pool", *pool.ready)
        folders = shared_files.folders_ready(pool, parent=self) if settings.shared else []
        options = options_of(settings.profile, settings.volume_options, tls=tls)
        after = [*order.before("volume-create"), *folders]
        volume = Volume(topology.VOLUME, plan, options, pool, tls=tls, after=after, opts=child)
        arbiter = self._hosts[FIRST_NODE] if plan.arbiter else None
        files = None
        if settings.shared:
            files = SharedFiles("shared-files", plan, pool, arbiter, tls=tls, after=volume.restored, opts=child)
        arbitrating = []
        if arbiter:
            noted = trusting[FIRST_NODE].after(*(files.noted if files else ()))
            arbitrating.append(arbiter_runs(noted, volume.id, tls=tls, parent=self))
        order.add("volume-arbiter", volume.arbitrate(arbitrating))
        sessions = volume.start(order.before("volume-options"))
        order.add("volume-options", sessions.configured)
        order.add("volume-start", sessions.started)
        order.add("volume-heal", sessions.whole)
        made = order.made()
        running = {node.name: [made[f"{node.name}-mount"], made[f"{node.name}-php"]] for node in plan.php_nodes}
        if settings.session_store is SessionStore.LOG:
            running = {name: [*steps, made[session_log.SESSION_LOG]] for name, steps in running.items()}
        else:
            nodes = [self._hosts[node.name] for node in plan.php_nodes]
            serving = [step for steps in running.values() for step in steps]
            session_log.log_left(nodes, self._last, parent=self, after=serving)
        started, mounted = self._share(files, order, running) if files else (None, {})
        if arbiter:
            arbiter_agrees(arbiter, brick_hosts=volume.identities, parent=self, whole=sessions.whole)
        elif arbiter_is_leaving(self._last):
            arbiter_left(self._hosts[FIRST_NODE], parent=self, unasked=(started or sessions).started)
        return _Storage(
            sessions,
            started,
            {name: [*steps, *([mounted[name]] if files else [])] for name, steps in running.items()},
            mounted,
        )

    def _share(
        self, files: SharedFiles, order: StepsInOrder, running: Mapping[str, Sequence[pulumi.Resource]]
    ) -> tuple[StartedVolume, dict[str, pulumi.Resource]]:
        """Starts the volume `files`, and mounts it on the PHP nodes when their PHP is `running`."""
        started = files.start(order.before("files-volume-arbiter"))
        mounts = {name: files.mount(self._hosts[name], [started.started, *steps]) for name, steps in running.items()}
        return started, mounts

    def _balance(
        self,
        balancers: Sequence[Host],
        serving: Sequence[pulumi.Resource],
        password: pulumi.Output[str],
        acme: AcmeCertificate | None,
    ) -> Sequence[pulumi.Resource]:
        """The steps after which both balancers send requests to the nodes that serve the site."""
        settings = self._settings
        if acme:
            balancers = [host.after(acme.prepared(host, self._plan, parent=self)) for host in balancers]
        if settings.metrics_from:
            ready = {host.name: page_ready(self._hosts[host.name], self._plan, parent=self) for host in balancers}
            balancers = [host.after(ready[host.name]) for host in balancers]
        args = LoadBalancerPairArgs(
            plan=self._plan,
            hosts=balancers,
            nodes_serving=serving,
            request_seconds=settings.request_seconds,
            statistics_password=password,
            certificate=_certificate(settings),
            trusted_proxies=settings.trusted_proxies,
            proxy_protocol=settings.proxy_protocol,
            session_cookie=session_cookie(settings.php_settings),
            at_once=waiting_places(settings.php_workers),
            workers=settings.php_workers,
            limits=settings.limits,
            health_path=settings.health_path,
            metrics=bool(settings.metrics_from),
            acme_thumbprint=acme.thumbprint if acme else "",
            hsts_seconds=settings.hsts_seconds,
            http3_secret=self._http3_secret(),
        )
        return LoadBalancerPair("load-balancers", args, opts=pulumi.ResourceOptions(parent=self)).serving

    def _http3_secret(self) -> pulumi.Output[str] | None:
        """What both balancers have alike where visitors may speak HTTP/3."""
        if not self._settings.http3:
            return None
        drawn = random.RandomPassword(
            "http3-secret", length=48, special=False, opts=pulumi.ResourceOptions(parent=self)
        )
        return pulumi.Output.secret(drawn.result)

    def _revoke(
        self, storage: _Storage, tls: GlusterTls | None, drained: Sequence[pulumi.Resource]
    ) -> pulumi.Output[str]:
        """Takes access from nodes that leave, after the steps that keep requests away from them, and returns what
        Gluster says of the sessions' volume then."""
        plan, revoked = self._plan, storage.sessions.revoke(drained)
        if storage.files:
            storage.files.revoke([*drained, revoked])
        elif shared_files.are_leaving(self._last):
            nodes = [self._hosts[node.name] for node in plan.php_nodes]
            first = self._hosts[plan.balancers[0].name]
            shared_files.leave(first, nodes, parent=self, drained=[*drained, revoked])
        if tls:
            tls.revoke(drained)
        if packet_filter.names_nodes(plan):
            for planned in (each for each in plan.machines if each.serves_gluster):
                packet_filter.revoke(
                    self._hosts[planned.name], plan, self._settings.metrics_from, parent=self, drained=drained
                )
        return storage.sessions.volume.show(revoked)

    def _certify(
        self,
        balancers: Sequence[Host],
        acme: AcmeCertificate | None,
        balancing: Sequence[pulumi.Resource],
        held: pulumi.Resource,
    ) -> None:
        """Has a CA asked when the floating IP is `held`, or never again."""
        for balancer in balancers:
            if acme:
                acme.asked(balancer, parent=self, after=[held])
            else:
                certificate_left(balancer, self._last, parent=self, after=balancing)

    def _measure(self, balancers: Sequence[Host], balancing: Sequence[pulumi.Resource]) -> None:
        """Has each machine tell its metrics if somebody collects them, and no more if somebody did."""
        for host in self._hosts.values():
            if self._settings.metrics_from:
                metrics_told(host, self._plan, parent=self)
            else:
                metrics_left(host, self._last, parent=self)
        if not self._settings.metrics_from:
            for balancer in balancers:
                page_left(balancer, self._last, parent=self, after=balancing)

    def _wait_for_site(self, balancers: Sequence[Host], balancing: Sequence[pulumi.Resource]) -> None:
        for balancer in balancers:
            balancer.step(
                f"{balancer.name}-site-answers",
                "balancer/site-answers.sh",
                parent=self,
                variables={"PHP_NODES": " ".join(node.name for node in self._plan.php_nodes)},
                after=balancing,
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
        metrics=bool(settings.metrics_from),
    )


def _floating_ip(plan: Topology, balancers: Sequence[Host]) -> pulumi.Output[str]:
    elastic = balancers[0].machine.elastic_ip
    return elastic.address if elastic else pulumi.Output.from_input(plan.floating_ip or "")


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, pulumi.Output.secret(settings.tls_key))
