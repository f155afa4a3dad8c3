"""A PHP node: the sessions' mount, web server and PHP. What they serve is in release.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.mount import Mount, fstab_line
from components.php_extension import extension_file
from components.remote import remote_step, render
from components.topology import DRAIN_SECONDS, MOUNT_POINT, Profile, Topology

FIRST_NODE = "php1"
"""What one node does for all, removing expired sessions above all, is done by the one that always exists."""

DEFAULT_POST_MAX_SIZE = "8M"


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
        shares_files: Whether the site has folders or files that all releases and nodes share.
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
    shares_files: bool = False


def max_body_size(php_settings: Mapping[str, str]) -> str:
    """nginx's limit for a request, from PHP's own: a site that raises one should not have to know of the other."""
    size = php_settings.get("post_max_size", DEFAULT_POST_MAX_SIZE).lower()
    return size if re.fullmatch(r"[0-9]+[kmg]?", size) else DEFAULT_POST_MAX_SIZE.lower()


def nginx_site(
    plan: Topology, php_settings: Mapping[str, str], request_seconds: int, *, shares_files: bool = False
) -> str:
    """The text of nginx's server block. It does not know the other PHP nodes: adding one must not touch it."""
    return render(
        "nginx-site.conf.j2",
        balancer_addresses=[balancer.address for balancer in plan.balancers],
        floating_ip=plan.floating_ip,
        max_body_size=max_body_size(php_settings),
        request_seconds=request_seconds,
        shares_files=shares_files,
    )


def fpm_configuration(workers: int, environment_names: Sequence[str] = ()) -> str:
    """The text of php-fpm's own configuration file."""
    return render("php-fpm.conf.j2", workers=workers, environment_names=environment_names)


def php_ini(profile: Profile, php_settings: Mapping[str, str], request_seconds: int, workers: int) -> str:
    """The text of PHP's ini file: the session store's lines, then the user's."""
    return render(
        "php.ini.j2",
        mount_point=MOUNT_POINT,
        records=record_lines(request_seconds, workers) if profile is Profile.SAFE else "",
        settings=php_settings,
    )


def record_lines(request_seconds: int, workers: int, *, writes_plain: bool = False) -> str:
    """What PHP's ini file needs to have the session store.

    Args:
        request_seconds: How long a page may take.
        workers: PHP processes of the node.
        writes_plain: Whether sessions are stored as PHP's own handler does, while the profile changes.
    """
    return render(
        "php-records.ini.j2",
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
        files = {"HEALTH_PHP": "php/health.php", "SERVE_PHP": "php/serve-php"}
        if safe and self.name == FIRST_NODE:
            files |= {"COLLECT_PHP": "php/collect_sessions.php"}
        running = remote_step(
            f"{self.name}-php",
            args.machine,
            "php.sh",
            parent=self,
            variables={
                "GUARDED": "yes" if safe else "no",
                "NGINX_SITE": nginx_site(
                    args.plan, args.php_settings, args.request_seconds, shares_files=args.shares_files
                ),
                "FPM_CONF": fpm_configuration(args.workers, args.environment_names),
                "PHP_INI": php_ini(args.profile, args.php_settings, args.request_seconds, args.workers),
                "DRAIN_SECONDS": str(DRAIN_SECONDS),
            },
            files=files,
            depends_on=[args.installed, *args.extended, *args.environment, *after],
        )
        self.ready.append(running)
        return running
