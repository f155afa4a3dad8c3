"""Each resource and look-up that the program asks pulumi-aws for, done with boto3 on whatever answers at its endpoint.

A table rather than a provider: `create` gives the id and what the cloud adds to the inputs, `exists` and `delete` take
the id and what is known. A changed input replaces unless `update` lists it.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]


@dataclass(eq=False)
class Cloud:
    """Clients of one region."""

    region: str
    endpoints: Mapping[str, str]

    @functools.cached_property
    def session(self) -> Any:
        """With the credentials of the environment."""
        import boto3

        return boto3.Session()

    @functools.cache  # noqa: B019 - lives as long as the plugin
    def client(self, service: str) -> Any:
        """Of one service, such as `sts`."""
        import botocore.config

        # What the cloud refuses is refused at once.
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        return self.session.client(
            service, region_name=self.region, endpoint_url=self.endpoints.get(service), config=config
        )

    @property
    def ec2(self) -> Any:
        """Machines, disks, networks, addresses."""
        return self.client("ec2")

    @property
    def iam(self) -> Any:
        """Roles of machines."""
        return self.client("iam")


@dataclass(frozen=True)
class Kind:
    """What to do for one type of resource."""

    create: Callable[[Cloud, Values], tuple[str, Values]]
    delete: Callable[[Cloud, str, Values], object]
    exists: Callable[[Cloud, str, Values], object]
    computed: tuple[str, ...] = ()
    """What the cloud adds, unknown before."""
    update: Mapping[str, Callable[[Cloud, str, Values], object]] = field(default_factory=dict)
    autonamed: bool = False


def _tags(kind: str, inputs: Values, **others: Values) -> dict[str, Any]:
    """What the API wants to know of the tags of a resource, and of others that are made with it."""
    all_of_them = {kind: inputs, **others}.items()
    said = [
        {"ResourceType": each, "Tags": [{"Key": key, "Value": value} for key, value in tagged["tags"].items()]}
        for each, tagged in all_of_them
        if tagged.get("tags")
    ]
    return {"TagSpecifications": said} if said else {}


def _iam_tags(inputs: Values) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in inputs.get("tags", {}).items()]


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _name(inputs: Values, key: str = "name") -> str:
    return str(inputs.get(key) or f"{inputs[f'{key}Prefix']}{secrets.token_hex(13)}")


def _retag(cloud: Cloud, identity: str, inputs: Values) -> None:
    cloud.ec2.create_tags(Resources=[identity], Tags=_iam_tags(inputs))


def _vpc(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_vpc(CidrBlock=inputs["cidrBlock"], **_tags("vpc", inputs))["Vpc"]
    return made["VpcId"], {}


def _gateway(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_internet_gateway(**_tags("internet-gateway", inputs))["InternetGateway"]
    cloud.ec2.attach_internet_gateway(InternetGatewayId=made["InternetGatewayId"], VpcId=inputs["vpcId"])
    return made["InternetGatewayId"], {}


def _delete_gateway(cloud: Cloud, identity: str, known: Values) -> None:
    cloud.ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=known["vpcId"])
    cloud.ec2.delete_internet_gateway(InternetGatewayId=identity)


def _subnet(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=inputs["availabilityZone"],
        **_tags("subnet", inputs),
    )["Subnet"]
    cloud.ec2.modify_subnet_attribute(
        SubnetId=made["SubnetId"], MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]}
    )
    return made["SubnetId"], {}


def _table(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_route_table(VpcId=inputs["vpcId"], **_tags("route-table", inputs))["RouteTable"]
    return made["RouteTableId"], {}


def _tie(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])
    return made["AssociationId"], {}


def _tie_exists(cloud: Cloud, identity: str, known: Values) -> object:
    [table] = cloud.ec2.describe_route_tables(RouteTableIds=[known["routeTableId"]])["RouteTables"]
    return [one for one in table["Associations"] if one["RouteTableAssociationId"] == identity]


def _route(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    cloud.ec2.create_route(
        RouteTableId=inputs["routeTableId"],
        DestinationCidrBlock=inputs["destinationCidrBlock"],
        **_given(
            GatewayId=inputs.get("gatewayId"),
            NatGatewayId=inputs.get("natGatewayId"),
            NetworkInterfaceId=inputs.get("networkInterfaceId"),
        ),
    )
    return f"r-{inputs['routeTableId']}-{inputs['destinationCidrBlock']}", {}


def _delete_route(cloud: Cloud, _: str, known: Values) -> None:
    cloud.ec2.delete_route(RouteTableId=known["routeTableId"], DestinationCidrBlock=known["destinationCidrBlock"])


def _route_exists(cloud: Cloud, _: str, known: Values) -> object:
    [table] = cloud.ec2.describe_route_tables(RouteTableIds=[known["routeTableId"]])["RouteTables"]
    return [one for one in table["Routes"] if one["DestinationCidrBlock"] == known["destinationCidrBlock"]]


def _address(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.allocate_address(Domain=inputs["domain"], **_tags("balancer/elastic-ip", inputs))
    arn = f"arn:aws:ec2:{cloud.region}:123456789012:elastic-ip/{made['AllocationId']}"
    return made["AllocationId"], {"publicIp": made["PublicIp"], "allocationId": made["AllocationId"], "arn": arn}


def _free(cloud: Cloud, identity: str, _: Values) -> None:
    # As EC2 has it, and moto does not: an address that is in use is not taken back.
    [address] = cloud.ec2.describe_addresses(AllocationIds=[identity])["Addresses"]
    if address.get("AssociationId"):
        raise RuntimeError(f"InvalidIPAddress.InUse: {identity} is associated with {address['NetworkInterfaceId']}")
    cloud.ec2.release_address(AllocationId=identity)


def _let_go(cloud: Cloud, interface: str) -> None:
    """As EC2 does, and moto does not: the address of what is gone is free."""
    for address in cloud.ec2.describe_addresses()["Addresses"]:
        if address.get("NetworkInterfaceId") == interface:
            cloud.ec2.disassociate_address(AssociationId=address["AssociationId"])


def _associate(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.associate_address(
        AllocationId=inputs["allocationId"],
        NetworkInterfaceId=inputs["networkInterfaceId"],
        PrivateIpAddress=inputs["privateIpAddress"],
    )
    return made["AssociationId"], {}


def _associated(cloud: Cloud, identity: str, known: Values) -> object:
    found = cloud.ec2.describe_addresses(AllocationIds=[known["allocationId"]])["Addresses"]
    return [one for one in found if one.get("AssociationId") == identity]


def _nat(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_nat_gateway(
        SubnetId=inputs["subnetId"], AllocationId=inputs["allocationId"], **_tags("natgateway", inputs)
    )["NatGateway"]
    return made["NatGatewayId"], {}


def _delete_nat(cloud: Cloud, identity: str, _: Values) -> None:
    [gateway] = cloud.ec2.describe_nat_gateways(NatGatewayIds=[identity])["NatGateways"]
    cloud.ec2.delete_nat_gateway(NatGatewayId=identity)
    for address in gateway["NatGatewayAddresses"]:
        _let_go(cloud, address["NetworkInterfaceId"])
        # The gateway's own, which goes with it on EC2.
        cloud.ec2.delete_network_interface(NetworkInterfaceId=address["NetworkInterfaceId"])


def _group(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_security_group(
        GroupName=inputs["name"],
        Description=inputs["description"],
        VpcId=inputs["vpcId"],
        **_tags("security-group", inputs),
    )
    # As the provider does: a group begins with the right to send anything anywhere.
    cloud.ec2.revoke_security_group_egress(
        GroupId=made["GroupId"], IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    return made["GroupId"], {}


def _rule(inward: bool) -> Callable[[Cloud, Values], tuple[str, Values]]:
    def create(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
        words = {"Description": inputs["description"]}
        permission: dict[str, Any] = {
            "IpProtocol": inputs["ipProtocol"],
            # A protocol without ports has none; moto wants a number all the same.
            "FromPort": int(inputs.get("fromPort", -1)),
            "ToPort": int(inputs.get("toPort", -1)),
        }
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **words}]
        else:
            permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **words}]
        ask = cloud.ec2.authorize_security_group_ingress if inward else cloud.ec2.authorize_security_group_egress
        made = ask(
            GroupId=inputs["securityGroupId"], IpPermissions=[permission], **_tags("security-group-rule", inputs)
        )
        identity = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return identity, {"securityGroupRuleId": identity}

    return create


def _delete_rule(inward: bool) -> Callable[[Cloud, str, Values], None]:
    def delete(cloud: Cloud, identity: str, known: Values) -> None:
        ask = cloud.ec2.revoke_security_group_ingress if inward else cloud.ec2.revoke_security_group_egress
        ask(GroupId=known["securityGroupId"], SecurityGroupRuleIds=[identity])

    return delete


def _key(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    name = _name(inputs, "keyName")
    made = cloud.ec2.import_key_pair(
        KeyName=name, PublicKeyMaterial=inputs["publicKey"].encode(), **_tags("key-pair", inputs)
    )
    return name, {"keyName": name, "keyPairId": made["KeyPairId"]}


def _interface(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    first, *others = inputs["privateIpLists"]
    made = cloud.ec2.create_network_interface(
        SubnetId=inputs["subnetId"],
        PrivateIpAddresses=[
            {"PrivateIpAddress": first, "Primary": True},
            *({"PrivateIpAddress": other, "Primary": False} for other in others),
        ],
        Groups=inputs["securityGroups"],
        **_tags("network-interface", inputs),
    )["NetworkInterface"]
    identity = made["NetworkInterfaceId"]
    cloud.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=identity, SourceDestCheck={"Value": inputs["sourceDestCheck"]}
    )
    arn = f"arn:aws:ec2:{cloud.region}:123456789012:network-interface/{identity}"
    return identity, {"arn": arn, "privateIp": first}


def _delete_interface(cloud: Cloud, identity: str, _: Values) -> None:
    cloud.ec2.delete_network_interface(NetworkInterfaceId=identity)
    _let_go(cloud, identity)


def _instance(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    disk, metadata = inputs["rootBlockDevice"], inputs["metadataOptions"]
    if primary := inputs.get("primaryNetworkInterface"):
        where: dict[str, Any] = {
            "NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": primary["networkInterfaceId"]}]
        }
    else:
        where = {
            "SubnetId": inputs["subnetId"],
            "PrivateIpAddress": inputs["privateIp"],
            "SecurityGroupIds": inputs["vpcSecurityGroupIds"],
        }
    profile = inputs.get("iamInstanceProfile")
    # As EC2 does, and moto does not: a key pair that is not there is refused, here by the look at it.
    cloud.ec2.describe_key_pairs(KeyNames=[inputs["keyName"]])
    made = cloud.ec2.run_instances(
        ImageId=inputs["ami"],
        MinCount=1,
        MaxCount=1,
        InstanceType=inputs["instanceType"],
        KeyName=inputs["keyName"],
        UserData=inputs["userData"],
        MetadataOptions={
            "HttpEndpoint": metadata["httpEndpoint"],
            "HttpTokens": metadata["httpTokens"],
            "HttpPutResponseHopLimit": int(metadata["httpPutResponseHopLimit"]),
        },
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "VolumeType": disk["volumeType"],
                    "VolumeSize": int(disk["volumeSize"]),
                    "Encrypted": disk["encrypted"],
                    "DeleteOnTermination": disk["deleteOnTermination"],
                },
            }
        ],
        **where,
        **({"IamInstanceProfile": {"Name": profile}} if profile else {}),
        **_tags("instance", inputs, volume=disk),
    )["Instances"][0]
    # moto takes no notice of it when it makes one; AWS needs no call of its own for it.
    if inputs["disableApiTermination"]:
        _protect(cloud, made["InstanceId"], inputs)
    return made["InstanceId"], {"privateIp": made["PrivateIpAddress"]}


def _terminate(cloud: Cloud, identity: str, _: Values) -> None:
    asked = cloud.ec2.describe_instance_attribute(InstanceId=identity, Attribute="disableApiTermination")
    # As EC2 does, in its words, and moto does not.
    if asked["DisableApiTermination"]["Value"]:
        raise RuntimeError(
            f"OperationNotPermitted: The instance '{identity}' may not be terminated. Modify its "
            "'disableApiTermination' instance attribute and try again."
        )
    cloud.ec2.terminate_instances(InstanceIds=[identity])


def _instance_exists(cloud: Cloud, identity: str, _: Values) -> object:
    found = cloud.ec2.describe_instances(InstanceIds=[identity])["Reservations"]
    states = [one["State"]["Name"] for reservation in found for one in reservation["Instances"]]
    return [state for state in states if state not in ("terminated", "shutting-down")]


def _protect(cloud: Cloud, identity: str, inputs: Values) -> None:
    cloud.ec2.modify_instance_attribute(
        InstanceId=identity, DisableApiTermination={"Value": inputs["disableApiTermination"]}
    )


def _volume(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.ec2.create_volume(
        AvailabilityZone=inputs["availabilityZone"],
        Size=int(inputs["size"]),
        VolumeType=inputs["type"],
        Encrypted=inputs["encrypted"],
        **_tags("volume", inputs),
    )
    return made["VolumeId"], {}


def _attach(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    volume, instance = inputs["volumeId"], inputs["instanceId"]
    cloud.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=inputs["deviceName"])
    return f"vai-{volume}-{instance}", {}


def _detach(cloud: Cloud, _: str, known: Values) -> None:
    if known.get("stopInstanceBeforeDetaching"):
        cloud.ec2.stop_instances(InstanceIds=[known["instanceId"]])
    cloud.ec2.detach_volume(VolumeId=known["volumeId"], InstanceId=known["instanceId"])


def _attached(cloud: Cloud, _: str, known: Values) -> object:
    [volume] = cloud.ec2.describe_volumes(VolumeIds=[known["volumeId"]])["Volumes"]
    return [one for one in volume["Attachments"] if one["InstanceId"] == known["instanceId"]]


def _role(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    made = cloud.iam.create_role(
        RoleName=_name(inputs), AssumeRolePolicyDocument=inputs["assumeRolePolicy"], Tags=_iam_tags(inputs)
    )["Role"]
    return made["RoleName"], {"name": made["RoleName"], "arn": made["Arn"]}


def _policy(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    _put_policy(cloud, "", inputs)
    return f"{inputs['role']}:{inputs['name']}", {}


def _put_policy(cloud: Cloud, _: str, inputs: Values) -> None:
    cloud.iam.put_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"])


def _profile(cloud: Cloud, inputs: Values) -> tuple[str, Values]:
    name = _name(inputs)
    cloud.iam.create_instance_profile(InstanceProfileName=name, Tags=_iam_tags(inputs))
    cloud.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=inputs["role"])
    return name, {"name": name}


def _delete_profile(cloud: Cloud, identity: str, known: Values) -> None:
    cloud.iam.remove_role_from_instance_profile(InstanceProfileName=identity, RoleName=known["role"])
    cloud.iam.delete_instance_profile(InstanceProfileName=identity)


def _rules_exist(cloud: Cloud, identity: str, _: Values) -> object:
    return cloud.ec2.describe_security_group_rules(SecurityGroupRuleIds=[identity])["SecurityGroupRules"]


TAGS = {"tags": _retag}

KINDS: Mapping[str, Kind] = {
    "aws:ec2/vpc:Vpc": Kind(
        _vpc,
        lambda cloud, identity, _: cloud.ec2.delete_vpc(VpcId=identity),
        lambda cloud, identity, _: cloud.ec2.describe_vpcs(VpcIds=[identity]),
        update=TAGS,
    ),
    "aws:ec2/internetGateway:InternetGateway": Kind(
        _gateway,
        _delete_gateway,
        lambda cloud, identity, _: cloud.ec2.describe_internet_gateways(InternetGatewayIds=[identity]),
        update=TAGS,
    ),
    "aws:ec2/subnet:Subnet": Kind(
        _subnet,
        lambda cloud, identity, _: cloud.ec2.delete_subnet(SubnetId=identity),
        lambda cloud, identity, _: cloud.ec2.describe_subnets(SubnetIds=[identity]),
        update=TAGS,
    ),
    "aws:ec2/routeTable:RouteTable": Kind(
        _table,
        lambda cloud, identity, _: cloud.ec2.delete_route_table(RouteTableId=identity),
        lambda cloud, identity, _: cloud.ec2.describe_route_tables(RouteTableIds=[identity]),
        update=TAGS,
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(
        _tie,
        lambda cloud, identity, _: cloud.ec2.disassociate_route_table(AssociationId=identity),
        _tie_exists,
    ),
    "aws:ec2/route:Route": Kind(_route, _delete_route, _route_exists),
    "aws:ec2/eip:Eip": Kind(
        _address,
        _free,
        lambda cloud, identity, _: cloud.ec2.describe_addresses(AllocationIds=[identity]),
        computed=("publicIp", "allocationId", "arn"),
        update=TAGS,
    ),
    "aws:ec2/eipAssociation:EipAssociation": Kind(
        _associate,
        lambda cloud, identity, _: cloud.ec2.disassociate_address(AssociationId=identity),
        _associated,
    ),
    "aws:ec2/natGateway:NatGateway": Kind(
        _nat,
        _delete_nat,
        lambda cloud, identity, _: [
            one
            for one in cloud.ec2.describe_nat_gateways(NatGatewayIds=[identity])["NatGateways"]
            if one["State"] != "deleted"
        ],
        update=TAGS,
    ),
    "aws:ec2/securityGroup:SecurityGroup": Kind(
        _group,
        lambda cloud, identity, _: cloud.ec2.delete_security_group(GroupId=identity),
        lambda cloud, identity, _: cloud.ec2.describe_security_groups(GroupIds=[identity]),
        update=TAGS,
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Kind(
        _rule(inward=True), _delete_rule(inward=True), _rules_exist, computed=("securityGroupRuleId",), update=TAGS
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Kind(
        _rule(inward=False), _delete_rule(inward=False), _rules_exist, computed=("securityGroupRuleId",), update=TAGS
    ),
    "aws:ec2/keyPair:KeyPair": Kind(
        _key,
        lambda cloud, identity, _: cloud.ec2.delete_key_pair(KeyName=identity),
        lambda cloud, identity, _: cloud.ec2.describe_key_pairs(KeyNames=[identity]),
        computed=("keyName", "keyPairId"),
    ),
    "aws:ec2/networkInterface:NetworkInterface": Kind(
        _interface,
        _delete_interface,
        lambda cloud, identity, _: cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[identity]),
        computed=("arn", "privateIp"),
        update=TAGS,
    ),
    "aws:ec2/instance:Instance": Kind(
        _instance,
        _terminate,
        _instance_exists,
        computed=("privateIp",),
        update={**TAGS, "disableApiTermination": _protect},
    ),
    "aws:ebs/volume:Volume": Kind(
        _volume,
        lambda cloud, identity, _: cloud.ec2.delete_volume(VolumeId=identity),
        lambda cloud, identity, _: cloud.ec2.describe_volumes(VolumeIds=[identity]),
        update=TAGS,
    ),
    "aws:ec2/volumeAttachment:VolumeAttachment": Kind(_attach, _detach, _attached),
    "aws:iam/role:Role": Kind(
        _role,
        lambda cloud, identity, _: cloud.iam.delete_role(RoleName=identity),
        lambda cloud, identity, _: cloud.iam.get_role(RoleName=identity),
        computed=("name", "arn"),
    ),
    "aws:iam/rolePolicy:RolePolicy": Kind(
        _policy,
        lambda cloud, _, known: cloud.iam.delete_role_policy(RoleName=known["role"], PolicyName=known["name"]),
        lambda cloud, _, known: cloud.iam.get_role_policy(RoleName=known["role"], PolicyName=known["name"]),
        update={"policy": _put_policy},
        autonamed=True,
    ),
    "aws:iam/instanceProfile:InstanceProfile": Kind(
        _profile,
        _delete_profile,
        lambda cloud, identity, _: cloud.iam.get_instance_profile(InstanceProfileName=identity),
        computed=("name",),
    ),
}


def still_there(cloud: Cloud, kind: Kind, identity: str, known: Values) -> bool:
    """Whether a resource is still what its id names."""
    from botocore.exceptions import ClientError

    try:
        return bool(kind.exists(cloud, identity, known))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if "NotFound" in code or "NoSuchEntity" in code or "InvalidGroup" in code:
            return False
        raise


def _filters(arguments: Values) -> list[dict[str, Any]]:
    return [{"Name": one["name"], "Values": one["values"]} for one in arguments.get("filters", [])]


def _zones(cloud: Cloud, arguments: Values) -> Values:
    # The endpoint's stand-in knows no opt-in: every zone is an ordinary one there.
    kept = [one for one in _filters(arguments) if one["Name"] != "opt-in-status"]
    found = cloud.ec2.describe_availability_zones(
        Filters=[*kept, *([{"Name": "state", "Values": [arguments["state"]]}] if "state" in arguments else [])]
    )["AvailabilityZones"]
    return {"names": [zone["ZoneName"] for zone in found], "zoneIds": [zone["ZoneId"] for zone in found]}


def _instance_type(cloud: Cloud, arguments: Values) -> Values:
    [found] = cloud.ec2.describe_instance_types(InstanceTypes=[arguments["instanceType"]])["InstanceTypes"]
    return {
        "instanceType": arguments["instanceType"],
        "supportedArchitectures": found["ProcessorInfo"]["SupportedArchitectures"],
    }


def _image(cloud: Cloud, arguments: Values) -> Values:
    owners = {"Owners": arguments["owners"]} if arguments.get("owners") else {}
    found = cloud.ec2.describe_images(Filters=_filters(arguments), **owners)["Images"]
    if not found:
        raise RuntimeError("Your query returned no results. Please change your search criteria and try again.")
    newest = max(found, key=lambda image: image["CreationDate"])
    return {"id": newest["ImageId"], "imageId": newest["ImageId"], "architecture": newest["Architecture"]}


def _existing_vpc(cloud: Cloud, arguments: Values) -> Values:
    [vpc] = cloud.ec2.describe_vpcs(VpcIds=[arguments["id"]])["Vpcs"]
    return {
        "id": vpc["VpcId"],
        "cidrBlockAssociations": [
            {"cidrBlock": one["CidrBlock"], "associationId": one["AssociationId"], "state": "associated"}
            for one in vpc["CidrBlockAssociationSet"]
        ],
    }


def _subnets(cloud: Cloud, arguments: Values) -> Values:
    return {"ids": [one["SubnetId"] for one in cloud.ec2.describe_subnets(Filters=_filters(arguments))["Subnets"]]}


def _existing_subnet(cloud: Cloud, arguments: Values) -> Values:
    [subnet] = cloud.ec2.describe_subnets(SubnetIds=[arguments["id"]])["Subnets"]
    tags = {one["Key"]: one["Value"] for one in subnet.get("Tags", [])}
    return {"id": subnet["SubnetId"], "cidrBlock": subnet["CidrBlock"], "tags": tags}


def _existing_gateway(cloud: Cloud, arguments: Values) -> Values:
    found = cloud.ec2.describe_internet_gateways(Filters=_filters(arguments))["InternetGateways"]
    if not found:
        raise RuntimeError("no matching EC2 Internet Gateway found")
    return {"id": found[0]["InternetGatewayId"], "internetGatewayId": found[0]["InternetGatewayId"]}


LOOKUPS: Mapping[str, Callable[[Cloud, Values], Values]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:ec2/getInstanceType:getInstanceType": _instance_type,
    "aws:ec2/getAmi:getAmi": _image,
    "aws:ec2/getVpc:getVpc": _existing_vpc,
    "aws:ec2/getSubnets:getSubnets": _subnets,
    "aws:ec2/getSubnet:getSubnet": _existing_subnet,
    "aws:ec2/getInternetGateway:getInternetGateway": _existing_gateway,
}
