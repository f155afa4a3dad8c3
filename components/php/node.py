"""A PHP node: the sessions' mount, web server and PHP. What they serve is in components/site/release.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.base.metrics import EXPORTER_QUESTION
from components.php.mount import Mount, fstab_line
from components.plan.path_patterns import ordered_expressions
from components.plan.php_settings import (
    DEFAULT_POST_MAX_SIZE,
    DEFAULT_SESSION_NAME,
    HEADER_KIB,
    body_limit,
    ini_lines,
    with_cookie_rules,
)
from components.plan.settings import Settings
from components.plan.topology import DRAIN_SECONDS, FIRST_NODE, MOUNT_POINT, Profile, SessionStore, Topology
from components.plan.traffic import (
    EXPORTER_PORT,
    HTTP_PORT,
    INNER_PORT,
    MEMBERS_PORT,
    METRICS_PORT,
    RELEASE_TRIAL_PORT,
    SETTINGS_TRIAL_PORT,
)
from components.steps.host import Host
from components.steps.remote import render

TERMINATE_MARGIN_SECONDS = 10
"""How long a page may run after the last moment at which it can still wait for a session's lock."""


@dataclass(frozen=True)
class WebRules:
    """What the site wants of the web server, beyond PHP's settings.

    Attributes:
        site_name: The host name for a request that names none.
        deny_paths: Patterns of files that nobody gets (path_patterns.py).
        believed: Networks of proxies whose lists of visitors count.
        post_max_sizes: What the site's own `.user.ini` files allow a request to have.
        shares_files: Whether the site has folders or files that all releases and nodes share.
        metrics: Whether somebody collects PHP's metrics.
    """

    site_name: str | None = None
    deny_paths: tuple[str, ...] = ()
    believed: tuple[str, ...] = ()
    post_max_sizes: tuple[str, ...] = ()
    shares_files: bool = False
    metrics: bool = False


NO_RULES = WebRules()


@dataclass(frozen=True)
class WebServer:
    """One of nginx's servers for the site.

    Attributes:
        listen: Its address, in nginx's words.
        root: The folder that it serves.
        release: The folder of the release, for pages to hand out files of.
        socket: The name of PHP's socket.
        answers_checks: Whether balancers of an earlier version ask it how the node is.
    """

    listen: str
    root: str
    release: str
    socket: str = "site.sock"
    answers_checks: bool = False


SITE_SERVERS = (
    WebServer(f"{HTTP_PORT} default_server", "/srv/site/web", "/srv/site/current", answers_checks=True),
    # For a release that is tried before it serves (site-try.sh); nobody outside reaches it.
    WebServer(f"127.0.0.1:{RELEASE_TRIAL_PORT}", "/srv/site/trial", "/srv/site/trial-release"),
)
SETTINGS_SERVERS = (
    # For PHP settings that are tried before they serve (php-try.sh).
    WebServer(f"127.0.0.1:{SETTINGS_TRIAL_PORT}", "/srv/site/web", "/srv/site/current", "site-trial.sock"),
)


def nginx_site(
    plan: Topology,
    php_settings: Mapping[str, str],
    request_seconds: int,
    web: WebRules = NO_RULES,
    servers: Sequence[WebServer] = SITE_SERVERS,
) -> str:
    """The text of nginx's server blocks. It does not know the other PHP nodes: adding one must not touch it."""
    balancers = [balancer.address for balancer in plan.balancers]
    sizes = (php_settings.get("post_max_size", DEFAULT_POST_MAX_SIZE), *web.post_max_sizes)
    return render(
        "php/nginx-site.conf.j2",
        servers=servers,
        # For a request that names no host.
        server_name=web.site_name or plan.floating_ip or "localhost",
        balancer_addresses=balancers,
        believed_addresses=[*balancers, *web.believed],
        deny_expressions=ordered_expressions(web.deny_paths),
        floating_ip=plan.floating_ip,
        inner_port=INNER_PORT if servers is SITE_SERVERS else 0,
        members_port=MEMBERS_PORT,
        metrics_port=METRICS_PORT if web.metrics and servers is SITE_SERVERS else 0,
        exporter_port=EXPORTER_PORT,
        exporter_question=EXPORTER_QUESTION,
        max_body_size=body_limit(sizes),
        header_kib=HEADER_KIB,
        request_seconds=request_seconds,
        shares_files=web.shares_files,
    )


def fpm_configuration(
    profile: Profile,
    workers: int,
    request_seconds: int = 60,
    environment_names: Sequence[str] = (),
    *,
    metrics: bool = False,
) -> str:
    """The text of php-fpm's own configuration file."""
    return render(
        "php/php-fpm.conf.j2",
        workers=workers,
        guarded=profile is Profile.SAFE,
        terminate_seconds=terminate_seconds(request_seconds),
        environment_names=environment_names,
        metrics=metrics,
    )


def php_ini(php_settings: Mapping[str, str], request_seconds: int, session_store: str = "") -> str:
    """The text of PHP's ini file: the session store's lines, where PHP's own handler is not it, then the user's."""
    return render(
        "php/php.ini.j2",
        mount_point=MOUNT_POINT,
        records=session_store,
        request_seconds=request_seconds,
        settings=ini_lines(php_settings),
    )


def lock_seconds(request_seconds: int) -> int:
    """How long a request waits for a session's lock: it gets its answer before the balancer's time is over.

    Where others store meanwhile, it waits for twice as long (record.c).
    """
    return max(1, request_seconds // 2)


def waiting_places(workers: int) -> int:
    """How many workers of a node may wait for sessions: a visitor who asks for much at once leaves some to others."""
    return max(1, workers * 3 // 4)


def session_cookie(php_settings: Mapping[str, str]) -> str:
    """The cookie that names a visitor's session. A site that renames it at run time has no turns at the balancers."""
    name = php_settings.get("session.name", DEFAULT_SESSION_NAME)
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else DEFAULT_SESSION_NAME


def terminate_seconds(request_seconds: int) -> int:
    """When a page that hangs is ended: its visitor has got an error long before.

    A signal that meets a worker in a request to the mount can stop the whole mount (gluster/glusterfs#4371). Whoever
    has asked for a session while the visitor waited is refused within twice the lock's time and done with the mount
    soon after, so what is left then waits for something else.
    """
    return request_seconds + 2 * lock_seconds(request_seconds) + TERMINATE_MARGIN_SECONDS


class PhpNode(pulumi.ComponentResource):
    """One PHP node: the mount of its sessions, and PHP. profile_switch.py decides which of the two comes first."""

    def __init__(
        self,
        settings: Settings,
        plan: Topology,
        web: WebRules,
        *,
        mounts: Host,
        serves: Host,
        session_store: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes what its two steps belong to.

        Args:
            settings: The stack's.
            plan: Addresses of all machines.
            web: What the site wants of the web server.
            mounts: The machine, ready to mount the volume: it and Gluster's servers trust each other.
            serves: The machine, ready for PHP: it has the extension, the site's environment, and settings that work.
            session_store: Lines of PHP's ini file for the session store of profile safe.
            opts: The component's.
        """
        super().__init__("php-cluster:php:PhpNode", mounts.name, None, opts)
        self._settings, self._plan, self._web = settings, plan, web
        self._mounts, self._serves, self._session_store = mounts, serves, session_store
        self.register_outputs({"mountLine": fstab_line(settings.profile)})

    def mount(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """The step after which the sessions are mounted, `after` these."""
        return Mount(
            self._mounts.after(*after),
            self._settings.profile,
            self._plan,
            tls=self._settings.gluster_tls,
            opts=pulumi.ResourceOptions(parent=self),
        ).mounted

    def serve(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """The step after which PHP runs, `after` these. No request arrives before the site, which waits for the mount
        too."""
        host, settings = self._serves, self._settings
        profile, seconds, workers = settings.profile, settings.request_seconds, settings.php_workers
        safe = profile is Profile.SAFE
        files = {"HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php", "FPM_SERVICE": "php/fpm@.service"}
        if safe and host.name == FIRST_NODE and settings.session_store is SessionStore.FILES:
            files |= {
                "COLLECT_PHP": "sessions/collect_sessions.php",
                "COLLECT_SERVICE": "sessions/collect.service",
                "COLLECT_TIMER": "sessions/collect.timer",
            }
        return host.after(*after).step(
            f"{host.name}-php",
            "php/php.sh",
            parent=self,
            variables={
                "GUARDED": "yes" if safe else "no",
                "NGINX_SITE": nginx_site(self._plan, settings.php_settings, seconds, self._web),
                "FPM_CONF": fpm_configuration(
                    profile, workers, seconds, list(settings.application.environment), metrics=self._web.metrics
                ),
                "PHP_INI": php_ini(
                    with_cookie_rules(settings.php_settings, tls=settings.tls), seconds, self._session_store
                ),
                "DRAIN_SECONDS": str(DRAIN_SECONDS),
            },
            files=files,
        )


def settings_tried(
    first: Host,
    settings: Settings,
    plan: Topology,
    web: WebRules,
    *,
    host_name: pulumi.Input[str],
    parent: pulumi.Resource,
) -> pulumi.Resource:
    """The step after which a page of the site was answered with PHP's settings, on the first node, beside what serves.

    Args:
        first: The first node, which has the site's environment.
        settings: The stack's.
        plan: Addresses of all machines.
        web: What the site wants of the web server.
        host_name: The host that is asked for.
        parent: The component it belongs to.
    """
    return first.step(
        f"{FIRST_NODE}-php-tried",
        "php/php-try.sh",
        parent=parent,
        variables={
            "SETTINGS": ini_lines(with_cookie_rules(settings.php_settings, tls=settings.tls)),
            "TRIAL_SITE": nginx_site(plan, settings.php_settings, settings.request_seconds, web, SETTINGS_SERVERS),
            "HEALTH_PATH": settings.health_path,
            "HOST": host_name,
            "SCHEME": "https" if settings.tls else "http",
        },
    )
