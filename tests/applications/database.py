"""A MariaDB server on a machine of its own beside a cluster: where an application's operator has one already."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from components.substrates.local.identity import checkout_identity
from components.substrates.ssh_keys import SEED_BYTES, private_key, public_key
from tests.applications.packages import RELEASE
from tests.commands import said
from tests.stack.cluster import Cluster, wait_for

MACHINE = "db"
HOST = 200
"""Last number of its address, far from those that a cluster gives out."""

# Debian's server listens on 127.0.0.1 alone.
START = """
set -e
printf '[mysqld]\\nbind-address = 0.0.0.0\\n' >/etc/mysql/mariadb.conf.d/99-network.cnf
systemctl start mariadb
"""


@dataclass(frozen=True)
class Database:
    """A database server.

    Attributes:
        address: Its own.
        user: Who may do everything there.
        password: Of that user.
    """

    address: str
    user: str
    password: str


def planned_database(network: str) -> Database:
    """What a site's settings can say of it before it exists.

    Args:
        network: In CIDR notation, of the cluster.
    """
    return Database(f"{network.rpartition('.')[0]}.{HOST}", "shop", secrets.token_urlsafe(12))


@contextmanager
def running_database(cluster: Cluster, database: Database) -> Iterator[None]:
    """The server, in the network of a cluster that is up, as long as the block lasts."""
    base = database.address.rpartition(".")[0]
    environment = {**os.environ, "SUITE": RELEASE.suite, "PACKAGES": "mariadb-server"}
    image = said("scripts/lab/image", "up", environment=environment).splitlines()[-1]
    environment |= {
        "LAB": cluster.lab,
        "STACK": cluster.name,
        "CHECKOUT": checkout_identity(),
        "NAME": MACHINE,
        "ADDRESS": database.address,
        "GATEWAY": f"{base}.1",
        "PREFIX": "24",
        "IMAGE": image,
        "AUTHORIZED_KEY": public_key(b"d" * SEED_BYTES),
    }
    try:
        said("scripts/lab/machine", "up", environment=environment, stdin=private_key(b"d" * SEED_BYTES))
        cluster.enter(MACHINE, START)
        statements = f"""
            CREATE DATABASE wordpress; CREATE DATABASE visits;
            CREATE USER '{database.user}'@'%' IDENTIFIED BY '{database.password}';
            GRANT ALL PRIVILEGES ON *.* TO '{database.user}'@'%';
        """
        wait_for("MariaDB answers", lambda: cluster.enter(MACHINE, "mariadb --execute 'SELECT 1'"))
        cluster.enter(MACHINE, f"mariadb <<'END'\n{statements}\nEND")
        yield
    finally:
        said("scripts/lab/machine", "down", environment=environment)
