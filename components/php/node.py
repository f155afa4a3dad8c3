"""A PHP node: the sessions' mount, web server and PHP. What they serve is in release.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.balancer.load_balancer import DEFAULT_SESSION_NAME, HEADER_KIB, MEMBERS_PORT
from components.php.mount import Mount, fstab_line
from components.plan.path_patterns import ordered_expressions
from components.plan.php_settings import DEFAULT_POST_MAX_SIZE, body_limit, ini_lines
from components.plan.settings import Settings
from components.plan.topology import DRAIN_SECONDS, INNER_PORT, MOUNT_POINT, Profile, Topology
from components.sessions.extension import extension_file
from components.steps.machine import Machine
from components.steps.remote import remote_step, render

FIRST_NODE = "php1"
"""What one node does for all, removing expired sessions above all, is done by the one that always exists."""

TERMINATE_MARGIN_SECONDS = 10
"""How long a page may run on after whoever asked for a session within the visitor's time has been answered."""


@dataclass(frozen=True)
class WebRules:
    """What the site wants of the web server, beyond PHP's settings.

    Attributes:
        site_name: The host name that a request has which names none.
        deny_paths: Patterns of files that nobody gets (path_patterns.py).
        believed: Networks of proxies whose lists of visitors count.
        post_max_sizes: What the site's own `.user.ini` files allow a request to have.
        shares_files: Whether the site has folders or files that all releases and nodes share.
    """

    site_name: str | None = None
    deny_paths: tuple[str, ...] = ()
    believed: tuple[str, ...] = ()
    post_max_sizes: tuple[str, ...] = ()
    shares_files: bool = False


NO_RULES = WebRules()


@dataclass(frozen=True)
class WebServer:
    """One of nginx's servers for the site.

    Attributes:
        listen: Its address, in nginx's words.
        root: The folder that it serves.
        release: The folder of the release, for pages to hand out files of.
        socket: The name of PHP's socket.
    """

    listen: str
    root: str
    release: str
    socket: str = "site.sock"


SITE_SERVERS = (
    WebServer("80 default_server", "/srv/site/web", "/srv/site/current"),
    # For a release that is tried before it serves (site-try.sh); nobody outside reaches it.
    WebServer("127.0.0.1:8081", "/srv/site/trial", "/srv/site/trial-release"),
)
SETTINGS_SERVERS = (
    # For PHP settings that are tried before they serve (php-try.sh).
    WebServer("127.0.0.1:8082", "/srv/site/web", "/srv/site/current", "site-trial.sock"),
)


@dataclass(frozen=True)
class PhpNodeArgs:
    """What a PHP node is made from.

    Attributes:
        machine: Where it runs.
        profile: How sessions are stored.
        installed: The step after which packages and host names are there.
        extended: The step after which PHP's extension is there, for profile safe.
        php_settings: PHP ini settings.
        workers: PHP processes.
        request_seconds: How long a page may take.
        plan: Addresses of all machines.
        environment_names: Variables that the site's pages see.
        environment: The steps after which the node has their values.
        tls: Whether Gluster's connections are encrypted.
        trusting: The steps after which the node and the brick hosts trust each other, where they don't from the start.
        web: What the site wants of the web server.
        tried: The steps after which PHP's settings are known to work.
    """

    machine: Machine
    profile: Profile
    installed: pulumi.Resource
    php_settings: Mapping[str, str]
    workers: int
    request_seconds: int
    plan: Topology
    environment_names: Sequence[str] = ()
    environment: Sequence[pulumi.Resource] = ()
    tls: bool = False
    trusting: Sequence[pulumi.Resource] = ()
    extended: Sequence[pulumi.Resource] = ()
    web: WebRules = NO_RULES
    tried: Sequence[pulumi.Resource] = ()


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
        max_body_size=body_limit(sizes),
        header_kib=HEADER_KIB,
        request_seconds=request_seconds,
        shares_files=web.shares_files,
    )


def fpm_configuration(
    profile: Profile, workers: int, request_seconds: int = 60, environment_names: Sequence[str] = ()
) -> str:
    """The text of php-fpm's own configuration file."""
    return render(
        "php/php-fpm.conf.j2",
        workers=workers,
        guarded=profile is Profile.SAFE,
        terminate_seconds=terminate_seconds(request_seconds),
        environment_names=environment_names,
    )


def php_ini(profile: Profile, php_settings: Mapping[str, str], request_seconds: int, workers: int) -> str:
    """The text of PHP's ini file: the session store's lines, then the user's."""
    return render(
        "php/php.ini.j2",
        mount_point=MOUNT_POINT,
        records=record_lines(request_seconds, workers) if profile is Profile.SAFE else "",
        request_seconds=request_seconds,
        settings=ini_lines(php_settings),
    )


def record_lines(request_seconds: int, workers: int, *, writes_plain: bool = False) -> str:
    """What PHP's ini file needs to have the session store.

    Args:
        request_seconds: How long a page may take.
        workers: PHP processes of the node.
        writes_plain: Whether sessions are stored as PHP's own handler does, while the profile changes.
    """
    return render(
        "sessions/php-records.ini.j2",
        extension=extension_file(),
        mount_point=MOUNT_POINT,
        lock_seconds=lock_seconds(request_seconds),
        waiting_places=waiting_places(workers),
        writes_plain=writes_plain,
    )


def lock_seconds(request_seconds: int) -> int:
    """How long a request waits for a session's lock: it gets its answer before the balancer's time is over."""
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
    has asked for a session while the visitor waited is refused within the lock's time and done with the mount soon
    after, so what is left then waits for something else.
    """
    return request_seconds + lock_seconds(request_seconds) + TERMINATE_MARGIN_SECONDS


class PhpNode(pulumi.ComponentResource):
    """One PHP node: the mount of its sessions, and PHP. Which of the two comes first is for who makes it to say.

    Attributes:
        name: The machine's name.
        address: The machine's private address.
        mount_line: The line that mounts its sessions.
        ready: The steps after which PHP runs, with the sessions mounted.
    """

    name: str
    address: str
    mount_line: str
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: PhpNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("php-cluster:php:PhpNode", name, None, opts)
        self.name, self.mount_line, self.ready = name, fstab_line(args.profile), []
        self.address = next(planned.address for planned in args.plan.php_nodes if planned.name == name)
        self._args = args
        self.register_outputs({"mountLine": self.mount_line})

    def mount(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Makes the step after which the sessions are mounted."""
        args = self._args
        mount = Mount(
            self.name,
            args.machine,
            args.profile,
            args.plan,
            tls=args.tls,
            depends_on=[args.installed, *args.trusting, *after],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready.append(mount.mounted)
        return mount.mounted

    def serve(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Makes the step after which PHP runs. No request arrives before the site, which waits for the mount too."""
        args = self._args
        safe = args.profile is Profile.SAFE
        files = {"HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php", "FPM_SERVICE": "php/fpm@.service"}
        if safe and self.name == FIRST_NODE:
            files |= {
                "COLLECT_PHP": "sessions/collect_sessions.php",
                "COLLECT_SERVICE": "sessions/collect.service",
                "COLLECT_TIMER": "sessions/collect.timer",
            }
        running = remote_step(
            f"{self.name}-php",
            args.machine,
            "php/php.sh",
            parent=self,
            variables={
                "GUARDED": "yes" if safe else "no",
                "NGINX_SITE": nginx_site(args.plan, args.php_settings, args.request_seconds, args.web),
                "FPM_CONF": fpm_configuration(args.profile, args.workers, args.request_seconds, args.environment_names),
                "PHP_INI": php_ini(args.profile, args.php_settings, args.request_seconds, args.workers),
                "DRAIN_SECONDS": str(DRAIN_SECONDS),
            },
            files=files,
            depends_on=[args.installed, *args.extended, *args.environment, *args.tried, *after],
        )
        self.ready.append(running)
        return running


def settings_tried(
    first: Machine,
    settings: Settings,
    nginx_text: str,
    *,
    host_name: pulumi.Input[str],
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> pulumi.Resource:
    """The step after which a page of the site was answered with PHP's settings, on the first node, beside what serves.

    Args:
        first: The machine of the first node.
        settings: The stack's.
        nginx_text: What nginx's server for the trial is (`nginx_site` of `SETTINGS_SERVERS`).
        host_name: The host that is asked for.
        parent: The component it belongs to.
        depends_on: What must be done before.
    """
    return remote_step(
        f"{FIRST_NODE}-php-tried",
        first,
        "php/php-try.sh",
        parent=parent,
        variables={
            "SETTINGS": ini_lines(settings.php_settings),
            "TRIAL_SITE": nginx_text,
            "HEALTH_PATH": settings.health_path,
            "HOST": host_name,
            "SCHEME": "https" if settings.tls_certificate else "http",
        },
        depends_on=depends_on,
    )
