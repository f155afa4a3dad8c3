"""The ways to keep sessions that are compared, and how they come onto a stack's machines."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.php.mount import mount_options
from components.plan.topology import BALANCERS, VOLUME, Profile
from components.plan.volume_options import TLS_OPTIONS, options_of
from components.steps.remote import script_text
from scripts.benchmark.stack import BenchStack

FOLDER = Path(__file__).parent
_PLAIN = {"session.use_strict_mode": "0"}
"""PHP's own setting in place of that of profile `safe`."""


_FILES = {"php_cluster.service": ""}
"""A file for each session."""


@dataclass(frozen=True)
class Volume:
    """A Gluster volume and its mount on each PHP node.

    Attributes:
        name: Its bricks lie in folders of this name.
        layout: What `volume create` says before the transport.
        bricks: The machines that hold them. One that holds two of them is no help when it fails.
        mount: Mount options.
        options: Of the volume, where they are not Gluster's own.
    """

    name: str
    layout: str
    bricks: tuple[str, ...]
    mount: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def mount_point(self) -> str:
        """The same on each PHP node."""
        return f"/media/{self.name}"

    @property
    def bricks_as_named(self) -> list[str]:
        """As `volume create` wants them."""
        return [f"{host}:/session/{self.name}-{number}" for number, host in enumerate(self.bricks)]

    @property
    def tls(self) -> bool:
        """Whether its connections are encrypted."""
        return TLS_OPTIONS.items() <= self.options.items()


@dataclass(frozen=True)
class Redis:
    """A Redis server of Debian's on lb1, and perhaps a replica of it on lb2.

    Attributes:
        name: Of the service's instance and its folder.
        port: Where it answers, on each of its machines.
        settings: Lines of its configuration, where they are not Debian's.
        replicated: Whether lb2 has a replica.
    """

    name: str
    port: int
    settings: tuple[str, ...] = ()
    replicated: bool = False

    @property
    def address(self) -> str:
        """Of the server that is written to."""
        return f"{BALANCERS[0]}:{self.port}"

    @property
    def servers(self) -> dict[str, tuple[str, ...]]:
        """Machine to the lines of its configuration, the one that is written to first."""
        primary, spare = BALANCERS
        replica = {spare: (*self.settings, f"replicaof {primary} {self.port}")} if self.replicated else {}
        return {primary: self.settings, **replica}


@dataclass(frozen=True)
class Store:
    """One way to keep sessions.

    Attributes:
        name: Also the host name by which the site is asked.
        settings: PHP's, where they differ from the stack's.
        volume: The name of the volume that sessions lie on; empty: on none.
        made: The volume that has to be made for it.
        redis: The Redis that has to be started for it.
        apart: Whether each node has sessions of its own.
        guarded: Whether PHP has the session store of profile `safe`.
    """

    name: str
    settings: Mapping[str, str]
    volume: str = ""
    made: Volume | None = None
    redis: Redis | None = None
    apart: bool = False
    guarded: bool = False


ARTICLE_VOLUME = Volume("bench-article", "replica 2", BALANCERS, mount_options(Profile.ARTICLE))
TLS_VOLUME = Volume(
    "bench-safe-tls",
    "replica 2",
    BALANCERS,
    mount_options(Profile.SAFE),
    options_of(Profile.SAFE, {}, tls=True),
)
THREE_BRICKS_VOLUME = Volume(
    "bench-three-bricks",
    "replica 3 arbiter 1",
    (*BALANCERS, BALANCERS[0]),
    mount_options(Profile.SAFE),
    options_of(Profile.SAFE, {}),
)
LOCAL_FOLDER = "/var/lib/php-cluster/bench-sessions"
WAIT_HANDLER = "/usr/lib/php-cluster/bench-redis-wait.php"


def _safe(name: str, volume: Volume) -> Store:
    """The store of profile `safe` on a volume of its own."""
    settings = {**_FILES, "php_cluster.folder": volume.mount_point}
    return Store(name, settings, volume=volume.name, made=volume, guarded=True)


def _redis(redis: Redis) -> Store:
    """php-redis' own handler with its own settings, which lock nothing."""
    return Store(
        redis.name,
        {**_PLAIN, "session.save_handler": "redis", "session.save_path": f"tcp://{redis.address}"},
        redis=redis,
    )


PAIR = Redis("redis-pair", 6381, replicated=True)

STORES = {
    store.name: store
    for store in (
        Store("local", {**_PLAIN, "session.save_path": LOCAL_FOLDER}, apart=True),
        _redis(Redis("redis", 6379)),
        _redis(Redis("redis-forced", 6380, ("appendonly yes", "appendfsync always"))),
        Store(
            PAIR.name,
            {**_PLAIN, "session.save_path": PAIR.address, "auto_prepend_file": WAIT_HANDLER},
            redis=PAIR,
        ),
        Store(
            "article",
            {**_PLAIN, "session.save_path": ARTICLE_VOLUME.mount_point},
            volume=ARTICLE_VOLUME.name,
            made=ARTICLE_VOLUME,
        ),
        Store("safe", _FILES, volume=VOLUME, guarded=True),
        Store("safe-log", {}, volume=VOLUME, guarded=True),
        _safe("three-bricks", THREE_BRICKS_VOLUME),
        _safe("safe-tls", TLS_VOLUME),
    )
}
USUAL = tuple(name for name in STORES if name != "three-bricks")
"""Without the one that only says what another kind of arbiter would cost."""


def _pool(store: Store, workers: int) -> str:
    settings = "".join(f"php_admin_value[{name}] = {value}\n" for name, value in store.settings.items())
    return f"""[{store.name}]
user = www-data
group = www-data
listen = /run/php-cluster/bench-{store.name}.sock
listen.owner = www-data
listen.group = www-data
listen.backlog = 1024
pm = static
pm.max_children = {workers}
catch_workers_output = yes
{settings}"""


def fpm_configuration(stores: Iterable[Store], workers: int, *, guarded: bool) -> str:
    """A pool for each store that is guarded, or is not; they differ in PHP's settings alone. Empty: there is none.

    The extension takes the place of PHP's own module for all pools of a php-fpm, so that these need one each.
    """
    pools = ["\n" + _pool(store, workers) for store in stores if store.guarded is guarded]
    return "[global]\nerror_log = syslog\nsyslog.ident = php-fpm\n" + "".join(pools) if pools else ""


def nginx_servers(stores: Iterable[Store]) -> str:
    """A server for each store, told apart by its name."""
    return "".join(
        f"""server {{
    listen 80;
    server_name {store.name};
    root /srv/site/current;
    access_log off;
    location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $realpath_root/index.php;
        fastcgi_param DOCUMENT_ROOT $realpath_root;
        fastcgi_pass unix:/run/php-cluster/bench-{store.name}.sock;
    }}
}}
"""
        for store in stores
    )


def prepare(stack: BenchStack, stores: Iterable[Store], nodes: Iterable[str], workers: int) -> None:
    """Makes the stores on a stack that is up."""
    chosen = list(stores)
    for redis in [store.redis for store in chosen if store.redis]:
        for host, settings in redis.servers.items():
            lines = "\n".join(settings)
            _run(stack, host, "redis.sh", {"NAME": redis.name, "PORT": str(redis.port), "SETTINGS": lines})
    volumes = [store.made for store in chosen if store.made]
    if any(volume.tls for volume in volumes):
        _trust(stack, {*BALANCERS, *nodes})
    for volume in volumes:
        _run(
            stack,
            BALANCERS[0],
            "volume.sh",
            {
                "VOLUME": volume.name,
                "LAYOUT": volume.layout,
                "BRICKS": " ".join(volume.bricks_as_named),
                "OPTIONS": " ".join(f"{name} {value}" for name, value in volume.options.items()),
            },
        )
    for node in nodes:
        _run(
            stack,
            node,
            "node.sh",
            {
                "MOUNTS": "".join(f"{volume.name} {volume.mount}\n" for volume in volumes),
                "LOCAL_FOLDER": LOCAL_FOLDER,
                "WAIT_HANDLER": WAIT_HANDLER,
                "WAIT_HANDLER_PHP": (FOLDER / "redis-wait.php").read_text(),
                "FPM_CONF": fpm_configuration(chosen, workers, guarded=True),
                "PLAIN_FPM_CONF": fpm_configuration(chosen, workers, guarded=False),
                "NGINX_SERVERS": nginx_servers(chosen),
                "SOCKETS": " ".join(f"/run/php-cluster/bench-{store.name}.sock" for store in chosen),
            },
        )


def _trust(stack: BenchStack, machines: Iterable[str]) -> None:
    """Gives machines a certificate each, as a stack with TLS would, and makes them trust each other."""
    names = sorted(machines)
    made = [
        stack.enter(name, script_text("bench-tls", "gluster/gluster-certificate.sh", {"NAME": name})) for name in names
    ]
    for name in names:
        _run(stack, name, "trust.sh", {"CERTIFICATES": "".join(made)})


def _run(stack: BenchStack, machine: str, script: str, variables: Mapping[str, str]) -> None:
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    stack.enter(machine, assignments + (FOLDER / script).read_text())
