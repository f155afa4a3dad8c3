"""The machines: instances with what outlives them, their interface, addresses and the disk of a brick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_command as command

from components.plan.debian import Release
from components.plan.topology import PlannedMachine, Role
from components.steps.drift import Drift
from components.steps.machine import ElasticIp, Machine
from components.steps.remote import FIRST_DIAL_ERROR_LIMIT, with_scripts
from components.substrates.aws.cloud_init import user_data
from components.substrates.aws.names import tags
from components.substrates.aws.release import release_tag
from components.substrates.aws.settings import AwsSettings
from components.substrates.ssh_keys import KeyPair, key_pair

USER = "admin"
"""The user of Debian's images, who may use sudo."""

ROOT_GIB = 10
BRICK_DEVICE = "/dev/sdf"
"""What the API calls it; the machine sees an NVMe disk that carries the volume's id as its serial number."""

MOVER_PACKAGES = ("python3-boto3",)


def brick_device(volume_id: str) -> str:
    """The path of a volume on its machine (Amazon EBS user guide, Identify the device)."""
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"


@dataclass(frozen=True)
class Place:
    """Where a machine is, and how it is reached.

    Attributes:
        zone: Its availability zone.
        subnet_id: Its subnet.
        groups: Its security groups.
        image: What it starts from.
        debian: The release that it runs.
        before: What must be there before it boots.
    """

    zone: str
    subnet_id: pulumi.Output[str]
    groups: Sequence[pulumi.Output[str]]
    image: str
    debian: Release
    before: Sequence[pulumi.Resource]


class Interface(pulumi.ComponentResource):
    """The network interface of a balancer, with addresses that stay when its instance is replaced.

    Attributes:
        interface: It has two private addresses: the machine's own, and one for visitors.
        address: A public address of its own, by which it reaches the cloud's API whoever holds the floating one, and by
            which it is logged in to.
        association: What gives it that address.
    """

    interface: aws.ec2.NetworkInterface
    address: pulumi.Output[str]
    association: pulumi.Resource

    def __init__(
        self,
        planned: PlannedMachine,
        place: Place,
        visitors_address: str,
        *,
        routes: bool,
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource],
    ) -> None:
        name = f"{planned.name}-interface"
        super().__init__("php-cluster:aws:Interface", name, None, pulumi.ResourceOptions(parent=parent))
        child = pulumi.ResourceOptions(parent=self)
        self.interface = aws.ec2.NetworkInterface(
            name,
            subnet_id=place.subnet_id,
            # In order: the first is the primary one.
            private_ip_list_enabled=True,
            private_ip_lists=[planned.address, visitors_address],
            security_groups=list(place.groups),
            # A machine that routes for others gets packets that are not its own.
            source_dest_check=not routes,
            tags=tags(name, role=planned.role.value),
            opts=pulumi.ResourceOptions(parent=self, depends_on=depends_on),
        )
        own = aws.ec2.Eip(
            f"{planned.name}-address",
            domain="vpc",
            tags=tags(f"{planned.name}-address", role=planned.role.value),
            opts=child,
        )
        self.association = aws.ec2.EipAssociation(
            f"{planned.name}-address-here",
            allocation_id=own.id,
            network_interface_id=self.interface.id,
            private_ip_address=planned.address,
            opts=child,
        )
        self.address = own.public_ip
        self.register_outputs({"address": self.address})


class AwsMachine(pulumi.ComponentResource):
    """One instance, with an SSH host key of its own that is known before the first connection.

    Attributes:
        machine: What the cluster needs to know of it.
        known_host: Its line for a known_hosts file.
        proxy: How machines behind it are reached.
    """

    machine: Machine
    known_host: pulumi.Output[str]
    proxy: command.remote.ProxyConnectionArgs

    def __init__(
        self,
        planned: PlannedMachine,
        place: Place,
        settings: AwsSettings,
        *,
        instance_type: str,
        login: KeyPair,
        key_name: pulumi.Output[str],
        brick_gib: int,
        drift: Drift,
        interface: Interface | None = None,
        through: AwsMachine | None = None,
        profile: pulumi.Output[str] | None = None,
        elastic_ip: ElasticIp | None = None,
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("php-cluster:aws:AwsMachine", planned.name, None, pulumi.ResourceOptions(parent=parent))
        host_key = key_pair(f"{planned.name}-host-key", self)
        instance = self._instance(
            planned,
            place,
            host_key,
            interface,
            instance_type=instance_type,
            key_name=key_name,
            iam_instance_profile=profile,
            disable_api_termination=settings.termination_protection,
        )
        host = interface.address if interface else pulumi.Output.from_input(planned.address)
        self.known_host = pulumi.Output.concat(host, " ", host_key.public)
        reached: dict[str, Any] = {
            "host": host,
            "user": USER,
            "private_key": login.private,
            "host_key": host_key.public,
        }
        self.proxy = command.remote.ProxyConnectionArgs(**reached, dial_error_limit=FIRST_DIAL_ERROR_LIMIT)
        self.machine = with_scripts(
            Machine(
                name=planned.name,
                role=planned.role,
                identity=instance.id,
                address=planned.address,
                interface=None,
                brick_source=self._brick(planned, place, brick_gib, instance) if planned.has_brick else "",
                connection=command.remote.ConnectionArgs(**reached, proxy=through.proxy if through else None),
                user=USER,
                ssh_command=f"scripts/ssh --stack {pulumi.get_stack()} {planned.name}",
                resource=instance,
                drift=drift,
                through=pulumi.Output.concat(USER, "@", through.proxy.host) if through else "",
                packages=MOVER_PACKAGES if planned.role is Role.LOAD_BALANCER else (),
                elastic_ip=elastic_ip,
            ),
            self,
        )
        self.register_outputs({"address": planned.address})

    def _instance(
        self, planned: PlannedMachine, place: Place, host_key: KeyPair, interface: Interface | None, **inputs: Any
    ) -> aws.ec2.Instance:
        """The instance itself, with its own root disk."""
        where = (
            {
                "primary_network_interface": aws.ec2.InstancePrimaryNetworkInterfaceArgs(
                    network_interface_id=interface.interface.id
                )
            }
            if interface
            else {
                "subnet_id": place.subnet_id,
                "private_ip": planned.address,
                "vpc_security_group_ids": list(place.groups),
                "associate_public_ip_address": False,
            }
        )
        return aws.ec2.Instance(
            f"{planned.name}-machine",
            ami=place.image,
            **where,
            **inputs,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=ROOT_GIB,
                encrypted=True,
                delete_on_termination=True,
                tags=tags(f"{planned.name}-root", role=planned.role.value),
            ),
            user_data=pulumi.Output.all(host_key.private, host_key.public).apply(
                lambda keys: user_data(planned.role, keys[0], keys[1])
            ),
            tags=tags(planned.name, role=planned.role.value) | release_tag(place.debian),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*place.before, *([interface.association] if interface else [])],
                # A newer image, another first word or key serves new machines; those that hold sessions stay.
                ignore_changes=["ami", "userData", "keyName"],
                # Its address, and where it has one its interface, can be had once only.
                delete_before_replace=True,
            ),
        )

    def _brick(
        self, planned: PlannedMachine, place: Place, brick_gib: int, instance: aws.ec2.Instance
    ) -> pulumi.Output[str]:
        """A disk that stays when its instance is replaced, and the path that its machine knows it by."""
        volume = aws.ebs.Volume(
            f"{planned.name}-brick-volume",
            availability_zone=place.zone,
            size=brick_gib,
            type="gp3",
            encrypted=True,
            tags=tags(f"{planned.name}-brick", role=planned.role.value),
            opts=pulumi.ResourceOptions(parent=self),
        )
        attached = aws.ec2.VolumeAttachment(
            f"{planned.name}-brick-attached",
            device_name=BRICK_DEVICE,
            volume_id=volume.id,
            instance_id=instance.id,
            # A mounted disk is let go by a machine that stops, with all that it had not yet written.
            stop_instance_before_detaching=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        device: pulumi.Output[str] = attached.volume_id.apply(brick_device)
        return device


def interface_ids(interfaces: Mapping[str, Interface]) -> Mapping[str, pulumi.Output[str]]:
    """Balancer to the id of its network interface."""
    return {name: each.interface.id for name, each in interfaces.items()}
