"""What a substrate owes to everything above it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.plan.debian import Release
from components.plan.topology import Role
from components.steps.drift import Drift


@dataclass(frozen=True)
class ElasticIp:
    """A floating IP that no machine can take by announcing it: the network's API moves it when it is asked to.

    Attributes:
        address: Where visitors find the site.
        local_address: The balancer's own private address that gets what is sent to `address` while it holds it.
        settings: JSON for `scripts/hosts/balancer/elastic-ip`, which does the asking.
    """

    address: pulumi.Output[str]
    local_address: str
    settings: pulumi.Output[str]


@dataclass(frozen=True)
class Machine:
    """One reachable Debian machine, whatever it is made of.

    Attributes:
        name: Its name in the cluster (`lb1`, `php3`), also its host name.
        role: What runs on it.
        identity: Changes when, and only when, the machine is another one; steps run again on a change.
        address: Private IPv4 address, by which the other machines reach it.
        interface: Network interface that carries `address`; None where only the machine knows its name.
        brick_source: What holds a brick: a folder on a file system of its own, or an empty block device.
        connection: SSH connection with a pinned host key.
        user: The user of `connection`; one who is not root must have `sudo` without a password.
        ssh_command: What an operator types to log in.
        resource: The resource that goes when the machine goes; its steps need no deletion of their own then.
        drift: What has been seen of the machines, and so which steps have to run again.
        through: `user@host` of the machine through which its connection goes; empty for a direct one.
        packages: Debian packages that it needs because of where it is, beside those of its role.
        scripts: The step after which the host scripts are there; every other step waits for it.
        release: What it runs, of a machine of others that answers; None of all others.
        elastic_ip: Of a load balancer, how it gets the floating IP; None: by announcing it, as VRRP does.
    """

    name: str
    role: Role
    identity: pulumi.Output[str]
    address: str
    interface: str | None
    brick_source: pulumi.Input[str]
    connection: command.remote.ConnectionArgs
    user: str
    ssh_command: str
    resource: pulumi.Resource
    drift: Drift
    through: pulumi.Input[str] = ""
    packages: tuple[str, ...] = ()
    scripts: pulumi.Resource | None = None
    release: Release | None = None
    elastic_ip: ElasticIp | None = None
