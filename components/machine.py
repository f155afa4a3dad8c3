"""What a substrate owes to everything above it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.drift import Drift
from components.topology import Role


@dataclass(frozen=True)
class Machine:
    """One reachable Debian machine, whatever it is made of.

    Attributes:
        name: Its name in the cluster (`lb1`, `php3`), also its host name.
        role: What runs on it.
        identity: Changes when, and only when, the machine is another one; steps run again on a change.
        address: Private IPv4 address, by which the other machines reach it.
        interface: Network interface that carries `address`.
        brick_source: What holds a brick: a folder on a file system of its own, or an empty block device.
        connection: SSH connection with a pinned host key.
        user: The user of `connection`; one who is not root must have `sudo` without a password.
        ssh_command: What an operator types to log in.
        resource: The resource that goes when the machine goes; its steps need no deletion of their own then.
        drift: What has been seen of the machines, and so which steps have to run again.
    """

    name: str
    role: Role
    identity: pulumi.Output[str]
    address: str
    interface: str
    brick_source: str
    connection: command.remote.ConnectionArgs
    user: str
    ssh_command: str
    resource: pulumi.Resource
    drift: Drift
