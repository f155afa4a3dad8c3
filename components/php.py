"""A PHP node: the sessions' mount, web server and PHP. What they serve is in release.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.mount import Mount
from components.remote import HOST_SCRIPTS, remote_step, render
from components.topology import DRAIN_SECONDS, MOUNT_POINT, Profile, Topology

COLLECTING_NODE = "php1"
"""Expired sessions are removed by one node for all; which one does not matter, but it must always exist."""

DEFAULT_POST_MAX_SIZE = "8M"


@dataclass(frozen=True)
class PhpNodeArgs:
    """What a PHP node is made from.

    Attributes:
        machine: Where it runs.
        profile: How sessions are stored.
        installed: The step after which packages and host names are there.
        volume_created: The step beside whose followers PHP is made to run.
        volume_started: The step after which the volume can be mounted.
        php_settings: PHP ini settings.
        workers: PHP processes.
        request_seconds: How long a page may take.
        plan: Addresses of all machines.
        tls: Whether Gluster's connections are encrypted.
        trusting: The steps after which the node and the brick hosts trust each other, where they don't from the start.
    """

    machine: Machine
    profile: Profile
    installed: pulumi.Resource
    volume_created: pulumi.Resource
    volume_started: pulumi.Resource
    php_settings: Mapping[str, str]
    workers: int
    request_seconds: int
    plan: Topology
    tls: bool = False
    trusting: Sequence[pulumi.Resource] = ()


def max_body_size(php_settings: Mapping[str, str]) -> str:
    """nginx's limit for a request, from PHP's own: a site that raises one should not have to know of the other."""
    size = php_settings.get("post_max_size", DEFAULT_POST_MAX_SIZE).lower()
    return size if re.fullmatch(r"[0-9]+[kmg]?", size) else DEFAULT_POST_MAX_SIZE.lower()


def nginx_site(plan: Topology, php_settings: Mapping[str, str], request_seconds: int) -> str:
    """The text of nginx's server block. It does not know the other PHP nodes: adding one must not touch it."""
    return render(
        "nginx-site.conf.j2",
        balancer_addresses=[balancer.address for balancer in plan.balancers],
        floating_ip=plan.floating_ip,
        max_body_size=max_body_size(php_settings),
        request_seconds=request_seconds,
    )


def fpm_configuration(workers: int) -> str:
    """The text of php-fpm's own configuration file."""
    return render("php-fpm.conf.j2", workers=workers)


def php_ini(profile: Profile, php_settings: Mapping[str, str], request_seconds: int) -> str:
    """The text of PHP's ini file: the session store's lines, then the user's."""
    return render(
        "php.ini.j2",
        mount_point=MOUNT_POINT,
        guarded=profile is Profile.SAFE,
        # So that whoever waits for a session's lock gets its answer before the balancer's time is over.
        lock_seconds=max(1, request_seconds // 2),
        settings=php_settings,
    )


class PhpNode(pulumi.ComponentResource):
    """One PHP node.

    Attributes:
        name: The machine's name.
        mount_line: The line that mounts its sessions.
        ready: The steps after which PHP runs, with the sessions mounted.
    """

    name: str
    mount_line: str
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: PhpNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("php-cluster:php:PhpNode", name, None, opts)
        self.name = name
        machine, safe = args.machine, args.profile is Profile.SAFE
        mount = Mount(
            name,
            machine,
            args.profile,
            args.plan,
            tls=args.tls,
            depends_on=[args.installed, args.volume_started, *args.trusting],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.mount_line = mount.line
        files = HOST_SCRIPTS / "php"
        running = remote_step(
            f"{name}-php",
            machine,
            "php.sh",
            parent=self,
            variables={
                "NGINX_SITE": nginx_site(args.plan, args.php_settings, args.request_seconds),
                "FPM_CONF": fpm_configuration(args.workers),
                "PHP_INI": php_ini(args.profile, args.php_settings, args.request_seconds),
                "HEALTH_PHP": (files / "health.php").read_text(),
                "SESSION_RECORD_PHP": (files / "session_record.php").read_text() if safe else "",
                "COLLECT_PHP": (files / "collect_sessions.php").read_text() if safe and name == COLLECTING_NODE else "",
                "SERVE_PHP": (files / "serve-php").read_text(),
                "DRAIN_SECONDS": str(DRAIN_SECONDS),
            },
            # Beside the volume's start. No request arrives before the site, which waits for both.
            depends_on=[args.installed, args.volume_created],
        )
        self.ready = [running, mount.mounted]
        self.register_outputs({"mountLine": self.mount_line})
