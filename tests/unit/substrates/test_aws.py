"""The whole graph of the substrate `aws`: every rule of who may talk to whom, what is public, what waits for what."""

import ipaddress
import json
import re
from typing import Any

import pulumi
import pytest

from components.cluster import PhpCluster
from components.plan.config_values import ConfigError
from components.plan.debian import DEFAULT, RELEASES
from components.plan.topology import Profile
from components.site.package import Site
from components.steps.drift import Drift
from components.steps.last_update import LastUpdate
from components.substrates.aws import zones
from components.substrates.aws.floating_address import move_policy
from components.substrates.aws.instances import brick_device
from components.substrates.aws.release import release_of
from tests.aws_schema import problems_of_inputs
from tests.unit.graph import Graph, everything_before, graph_of
from tests.unit.settings import read_with_substrate
from tests.unit.test_graph import revealed

WITHOUT_ACCOUNT = {"aws:region": "eu-central-1", "aws:skipCredentialsValidation": "true"}
ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
SETTINGS: dict[str, Any] = {"zones": ZONES, "ami": "ami-0123456789abcdef0", "sshCidrs": ["203.0.113.7/32"]}
SECRET_KEY = "value"


def cloud(
    aws_settings: dict[str, Any] | None = None, *, known: Graph | None = None, whole: bool = False, **values: Any
) -> Graph:
    """What the program registers for the machines of a cluster in the cloud, after an update that left the `known`.

    Args:
        whole: With the cluster on the machines.
    """
    settings, aws = read_with_substrate(
        {
            "substrate": "aws",
            "network": "10.64.0.0/20",
            "phpNodes": 3,
            "debian": DEFAULT,
            "aws": {**SETTINGS, **(aws_settings or {})},
            **values,
        },
        {"tlsKey"},
    )
    pulumi.runtime.set_all_config(WITHOUT_ACCOUNT)
    left = {name: node.inputs for name, node in (known or {}).items() if node.type.startswith("aws:")}
    drift = Drift(LastUpdate(left))
    plan = aws.plan(settings, drift.last)

    def program() -> None:
        machines = aws.create(settings, plan, drift)
        if whole:
            PhpCluster("cluster", settings, plan, machines, Site(settings.app_dir, "0" * 64), last=drift.last)

    return graph_of(program)


@pytest.fixture(scope="module")
def usual() -> Graph:
    return cloud()


def of_type(graph: Graph, kind: str) -> dict[str, Any]:
    return {name: node.inputs for name, node in graph.items() if node.type.endswith(f":{kind}")}


def rules(graph: Graph) -> set[tuple[str, str, str, str]]:
    """Direction, group, the other side, and protocol with ports, of each security rule."""
    found = set()
    for kind, direction in (("SecurityGroupIngressRule", "from"), ("SecurityGroupEgressRule", "to")):
        for rule in of_type(graph, kind).values():
            group = rule["securityGroupId"].removesuffix("-id")
            other = rule.get("cidrIpv4") or rule["referencedSecurityGroupId"].removesuffix("-id")
            ports = f" {rule['fromPort']:.0f}-{rule['toPort']:.0f}" if "fromPort" in rule else ""
            found.add((group, direction, other, rule["ipProtocol"] + ports))
    return found


GLUSTER = ("tcp 24007-24007", "tcp 49152-60999")
ARBITER = "tcp 49200-49200"
WORLD = "0.0.0.0/0"
EXPECTED_RULES = {
    ("balancers", "from", WORLD, "tcp 80-80"),
    ("balancers", "from", "203.0.113.7/32", "tcp 22-22"),
    ("balancers", "from", "nodes", "tcp 8405-8405"),
    ("balancers", "from", "balancers", "112"),
    ("balancers", "from", "balancers", "tcp 8404-8404"),
    *(("balancers", "from", other, ports) for other in ("balancers", "nodes") for ports in GLUSTER),
    ("balancers", "to", "balancers", "112"),
    ("balancers", "to", "balancers", "tcp 8404-8404"),
    ("balancers", "to", "nodes", "tcp 22-22"),
    ("balancers", "to", "nodes", "tcp 80-80"),
    ("balancers", "to", "nodes", "tcp 8406-8406"),
    *(("balancers", "to", "balancers", ports) for ports in GLUSTER),
    ("balancers", "to", "arbiter", ARBITER),
    *(("balancers", "to", WORLD, ports) for ports in ("tcp 80-80", "tcp 443-443")),
    ("nodes", "from", "balancers", "tcp 22-22"),
    ("nodes", "from", "balancers", "tcp 80-80"),
    ("nodes", "from", "balancers", "tcp 8406-8406"),
    ("nodes", "to", "balancers", "tcp 8405-8405"),
    *(("nodes", "to", "balancers", ports) for ports in GLUSTER),
    ("nodes", "to", "arbiter", ARBITER),
    *(("nodes", "to", WORLD, ports) for ports in ("tcp 80-80", "tcp 443-443")),
    *(("arbiter", "from", other, ARBITER) for other in ("balancers", "nodes")),
}


def test_every_security_rule(usual: Graph) -> None:
    assert rules(usual) == EXPECTED_RULES
    tls = {
        ("balancers", "from", WORLD, "tcp 443-443"),
    }
    certificate, key = _certificate()
    assert rules(cloud(tlsCertificate=certificate, tlsKey=key)) == EXPECTED_RULES | tls
    shared = {("balancers", "from", "balancers", "tcp 443-443"), ("balancers", "to", "balancers", "tcp 443-443")}
    of_a_ca = cloud(acme={"email": "admin@example.org"}, siteName="www.example.org")
    assert rules(of_a_ca) == EXPECTED_RULES | tls | shared
    of_http3 = cloud(acme={"email": "admin@example.org"}, siteName="www.example.org", http3=True)
    assert rules(of_http3) == rules(of_a_ca) | {("balancers", "from", WORLD, "udp 443-443")}
    through = {
        (group, way, other, f"tcp {port}-{port}")
        for port in (80, 443)
        for group, way, other in (("balancers", "from", "nodes"), ("nodes", "to", "balancers"))
    }
    assert rules(cloud({"egress": "balancers"})) == EXPECTED_RULES | through
    assert rules(cloud(profile="article")) == {rule for rule in EXPECTED_RULES if "arbiter" not in rule}


def test_what_an_arbiter_needed_stays_when_the_profile_changes(usual: Graph) -> None:
    """It is asked until it has left."""
    article = cloud(profile="article", known=usual)
    assert rules(article) == EXPECTED_RULES
    assert article["php1-machine"].inputs == usual["php1-machine"].inputs


def test_each_machine_is_in_the_groups_of_its_part(usual: Graph) -> None:
    groups = {name: node["vpcSecurityGroupIds"] for name, node in of_type(usual, "Instance").items() if "php" in name}
    assert groups == {
        "php1-machine": ["nodes-id", "arbiter-id"],
        "php2-machine": ["nodes-id"],
        "php3-machine": ["nodes-id"],
    }
    interfaces = {name: node["securityGroups"] for name, node in of_type(usual, "NetworkInterface").items()}
    assert interfaces == {"lb1-interface": ["balancers-id"], "lb2-interface": ["balancers-id"]}
    for balancer in ("lb1", "lb2"):
        node = usual[f"{balancer}-machine"].inputs
        assert "vpcSecurityGroupIds" not in node
        assert node["primaryNetworkInterface"] == {"networkInterfaceId": f"{balancer}-interface-id"}


def test_only_configured_networks_may_visit_and_log_in() -> None:
    graph = cloud({"webCidrs": ["198.51.100.0/24", "192.0.2.0/24"], "sshCidrs": ["203.0.113.0/28", "192.0.2.1/32"]})
    inward = {(other, what) for _, way, other, what in rules(graph) if way == "from" and "/" in other}
    assert inward == {
        ("198.51.100.0/24", "tcp 80-80"),
        ("192.0.2.0/24", "tcp 80-80"),
        ("203.0.113.0/28", "tcp 22-22"),
        ("192.0.2.1/32", "tcp 22-22"),
    }


def _certificate() -> tuple[str, str]:
    from tests.unit.plan.test_settings import self_signed

    return self_signed()


def test_nothing_else_is_public(usual: Graph) -> None:
    assert not any(subnet["mapPublicIpOnLaunch"] for subnet in of_type(usual, "Subnet").values())
    # The site's, one for each balancer, and the NAT gateway's.
    assert of_type(usual, "Eip").keys() == {"site-address", "lb1-address", "lb2-address", "nat"}
    for name, node in of_type(usual, "Instance").items():
        if name.startswith("php"):
            assert node["associatePublicIpAddress"] is False
            subnet = usual[node["subnetId"].removesuffix("-id")].inputs
            assert node["subnetId"].startswith("private-")
            assert ipaddress.ip_address(node["privateIp"]) in ipaddress.ip_network(subnet["cidrBlock"])
    routes = of_type(usual, "Route")
    assert (routes["public-default"]["gatewayId"], routes["public-default"]["routeTableId"]) == (
        "gateway-id",
        "public-table-id",
    )
    assert (routes["private-default"]["natGatewayId"], routes["private-default"]["routeTableId"]) == (
        "nat-gateway-id",
        "private-table-id",
    )
    assert of_type(usual, "NatGateway")["nat-gateway"]["subnetId"].startswith("public-")
    ties = {one["subnetId"]: one["routeTableId"] for one in of_type(usual, "RouteTableAssociation").values()}
    assert {subnet: table for subnet, table in ties.items() if subnet.startswith("private")} == dict.fromkeys(
        ("private-1-id", "private-2-id", "private-3-id"), "private-table-id"
    )
    assert {table for subnet, table in ties.items() if subnet.startswith("public")} == {"public-table-id"}
    assert len(ties) == len(of_type(usual, "Subnet")) == 5


def test_machines_are_spread_over_the_zones(usual: Graph) -> None:
    zone_of = {name: subnet["availabilityZone"] for name, subnet in of_type(usual, "Subnet").items()}
    interfaces = of_type(usual, "NetworkInterface")
    assert zone_of[interfaces["lb1-interface"]["subnetId"].removesuffix("-id")] == ZONES[0]
    assert zone_of[interfaces["lb2-interface"]["subnetId"].removesuffix("-id")] == ZONES[1]
    nodes = {
        name: zone_of[node["subnetId"].removesuffix("-id")]
        for name, node in of_type(usual, "Instance").items()
        if name.startswith("php")
    }
    # The arbiter is where no balancer is: one zone may fail.
    assert nodes == {"php1-machine": ZONES[2], "php2-machine": ZONES[0], "php3-machine": ZONES[1]}
    for name, volume in of_type(usual, "Volume").items():
        machine = name.removesuffix("-brick-volume")
        expected = {"lb1": ZONES[0], "lb2": ZONES[1]}[machine]
        assert volume["availabilityZone"] == expected


def test_every_disk_is_encrypted_and_bricks_have_their_own(usual: Graph) -> None:
    volumes = of_type(usual, "Volume")
    assert volumes.keys() == {"lb1-brick-volume", "lb2-brick-volume"}
    for volume in volumes.values():
        assert volume["encrypted"] is True and volume["type"] == "gp3"
    for name, instance in of_type(usual, "Instance").items():
        assert instance["rootBlockDevice"]["encrypted"] is True, name
        assert instance["rootBlockDevice"]["volumeType"] == "gp3"
        # A disk of the instance's own would go with it.
        assert "ebsBlockDevices" not in instance
    for name, attached in of_type(usual, "VolumeAttachment").items():
        machine = name.removesuffix("-brick-attached")
        assert attached["instanceId"] == f"{machine}-machine-id"
        assert attached["volumeId"] == f"{machine}-brick-volume-id"
        assert attached["stopInstanceBeforeDetaching"] is True
        assert f"{machine}-machine" not in everything_before(usual, f"{machine}-brick-volume")


def test_instances_ask_for_metadata_with_a_token_and_take_the_newest_image_only_when_new(usual: Graph) -> None:
    instances = of_type(usual, "Instance")
    assert len(instances) == 5
    for name, instance in instances.items():
        assert instance["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }, name
        assert instance["disableApiTermination"] is False
        assert instance["keyName"] == "login-key-name"
        assert usual[name].ignored == {"ami", "userData", "keyName"}
    for instance in of_type(cloud({"terminationProtection": True}), "Instance").values():
        assert instance["disableApiTermination"] is True


def test_the_first_connection_is_pinned(usual: Graph) -> None:
    for name, instance in of_type(usual, "Instance").items():
        told = instance["userData"][SECRET_KEY]
        assert told.startswith("#cloud-config\n")
        config = json.loads(told.partition("\n")[2])
        assert config["ssh_keys"]["ed25519_private"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----"), name
        assert config["ssh_deletekeys"] is True and config["ssh_pwauth"] is False and config["disable_root"] is True
        # What the first step writes stays after a reboot.
        assert config["preserve_hostname"] is True and config["manage_etc_hosts"] is False
        assert len(told) < 16384, "EC2 takes no more"
        denied = [file for file in config["write_files"] if "IPAddressDeny=169.254.169.254" in file["content"]]
        assert {file["path"].split("/")[4] for file in denied} == (
            {"haproxy.service.d"} if name.startswith("lb") else {"nginx.service.d", "php-cluster-fpm@.service.d"}
        )


def test_only_balancers_have_a_role(usual: Graph) -> None:
    for name, instance in of_type(usual, "Instance").items():
        assert ("iamInstanceProfile" in instance) is name.startswith("lb"), name
    assert of_type(usual, "InstanceProfile").keys() == {"balancer-profile"}
    # What this policy allows is evaluated in test_elastic_ip.py.
    interfaces = ["lb1-interface-arn", "lb2-interface-arn"]
    assert {name: policy["policy"] for name, policy in of_type(usual, "RolePolicy").items()} == {
        "move-site-address": move_policy("site-address-arn", interfaces)
    }
    assert of_type(usual, "RolePolicy")["move-site-address"]["role"] == "balancer-role-id"
    trust = json.loads(of_type(usual, "Role")["balancer-role"]["assumeRolePolicy"])
    assert trust["Statement"] == [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    ]


def test_the_program_never_says_where_the_address_is(usual: Graph) -> None:
    site = of_type(usual, "Eip")["site-address"]
    association = {"instance", "networkInterface", "associateWithPrivateIp"}
    assert not {*association, "address"} & site.keys()
    # Nor does it take it back when a refresh has seen one.
    assert usual["site-address"].ignored == association
    associated = {one["allocationId"] for one in of_type(usual, "EipAssociation").values()}
    assert associated == {"lb1-address-id", "lb2-address-id"}
    for balancer in ("lb1", "lb2"):
        interface = usual[f"{balancer}-interface"].inputs
        own, visitors = interface["privateIpLists"]
        assert of_type(usual, "EipAssociation")[f"{balancer}-address-here"]["privateIpAddress"] == own != visitors
        # An address can be given back only when the interface that has it is gone.
        assert "site-address" in usual[f"{balancer}-interface"].needs


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        # A machine boots when it can reach what it needs and may do what it must.
        (
            "lb1-machine",
            {"public-default", "public-1-routes", "lb1-address-here", "move-site-address", "web-80-from-1-in"},
        ),
        ("lb2-machine", {"ssh-from-1-in", "vrrp-in", "vrrp-out", "out-443-balancers-out", "balancer-profile"}),
        (
            "php2-machine",
            {"private-default", "private-1-routes", "nat-gateway", "ssh-in", "pages-in", "out-80-nodes-out"},
        ),
        ("nat-gateway", {"public-default", "nat"}),
        ("lb2-brick-attached", {"lb2-machine", "lb2-brick-volume"}),
    ],
)
def test_what_waits_for_what(usual: Graph, later: str, earlier: set[str]) -> None:
    assert earlier <= everything_before(usual, later)


def test_nodes_are_reached_through_a_balancer_and_a_brick_waits_for_its_disk() -> None:
    graph = cloud(whole=True)
    ways = {
        name.removesuffix("-install"): (way["host"], way.get("proxy", {}).get("host"))
        for name, node in graph.items()
        if name.endswith("-install")
        for way in [node.inputs["connection"][SECRET_KEY]]
    }
    # By the balancer of its own zone, where there is one.
    assert ways == {
        "lb1": ("lb1-address-public-ip", None),
        "lb2": ("lb2-address-public-ip", None),
        "php1": (graph["php1-machine"].inputs["privateIp"], "lb1-address-public-ip"),
        "php2": (graph["php2-machine"].inputs["privateIp"], "lb1-address-public-ip"),
        "php3": (graph["php3-machine"].inputs["privateIp"], "lb2-address-public-ip"),
    }
    for machine in ("lb1", "lb2"):
        assert {f"{machine}-brick-attached", f"{machine}-machine"} <= everything_before(graph, f"{machine}-brick")


def test_machines_are_made_side_by_side(usual: Graph) -> None:
    for name in of_type(usual, "Instance"):
        assert not [other for other in everything_before(usual, name) if other.endswith("-machine")], name


def test_balancers_route_where_that_is_chosen() -> None:
    graph = cloud({"egress": "balancers"})
    assert not of_type(graph, "NatGateway") and "nat" not in graph
    ways = {name: one.get("networkInterfaceId") for name, one in of_type(graph, "Route").items()}
    assert ways == {
        "public-default": None,
        "private-1-default": "lb1-interface-id",
        "private-2-default": "lb2-interface-id",
        "private-3-default": "lb1-interface-id",
    }
    for interface in of_type(graph, "NetworkInterface").values():
        assert interface["sourceDestCheck"] is False
    assert {"lb1-router", "lb2-router"} <= everything_before(graph, "php3-machine")
    assert all(one["sourceDestCheck"] for one in of_type(cloud(), "NetworkInterface").values())


def test_everything_carries_the_stacks_name_and_tags(usual: Graph) -> None:
    untaggable = {"Route", "RouteTableAssociation", "EipAssociation", "VolumeAttachment", "RolePolicy"}
    tagged = {f"{name}, its disk": node["rootBlockDevice"]["tags"] for name, node in of_type(usual, "Instance").items()}
    assert len({tags["Name"] for tags in tagged.values()}) == 5
    for name, node in usual.items():
        kind = node.type.rpartition(":")[2]
        if not node.type.startswith("aws:") or kind in untaggable:
            continue
        tagged[name] = node.inputs["tags"]
    for name, tags in tagged.items():
        assert tags["Name"].startswith("php-cluster-unit-"), name
        assert tags["php-cluster:stack"] == "unit" and tags["php-cluster:project"] == "php-cluster", name
        assert tags["php-cluster:role"], name


def test_it_is_all_in_the_sdks_schema(usual: Graph) -> None:
    asked = [(node.type, node.inputs) for node in usual.values() if node.type.startswith("aws:")]
    assert len({kind for kind, _ in asked}) == 20
    assert [said for kind, inputs in asked for said in problems_of_inputs(kind, inputs)] == []
    # The same judge sees a small mistake.
    assert problems_of_inputs("aws:ec2/vpc:Vpc", {"cidrBlok": "10.0.0.0/16"})
    wrong = {"metadataOptions": {"httpToken": "required"}}
    assert problems_of_inputs("aws:ec2/instance:Instance", wrong)
    assert problems_of_inputs("aws:ec2/instance:Instance", {"disableApiTermination": "no"})
    assert problems_of_inputs("aws:ec2/instance:Instance", {"instanceType": "t3.smal"})
    assert not problems_of_inputs("aws:ec2/instance:Instance", {"instanceType": "t3.small"})


def test_an_existing_vpc_is_used_as_it_is() -> None:
    graph = cloud({"vpcId": "vpc-0123456789abcdef0"})
    assert not of_type(graph, "Vpc") and not of_type(graph, "InternetGateway")
    assert {subnet["vpcId"] for subnet in of_type(graph, "Subnet").values()} == {"vpc-0123456789abcdef0"}
    assert {group["vpcId"] for group in of_type(graph, "SecurityGroup").values()} == {"vpc-0123456789abcdef0"}


def test_one_more_node_is_one_more_machine() -> None:
    before, after = cloud(phpNodes=3), cloud(phpNodes=4)
    assert after.keys() - before.keys() == {"AwsMachine php4", "php4-machine", "php4-host-key", "php4-scripts"}
    assert {name for name in before if before[name].inputs != after[name].inputs} == set()


def told_releases(graph: Graph) -> set[str | None]:
    return {node["tags"].get("php-cluster:debian") for node in of_type(graph, "Instance").values()}


def test_machines_tell_their_release_and_a_stack_keeps_it(usual: Graph) -> None:
    """Those of the time when there was no choice tell none: they have Debian 12, and stay as they are."""
    assert told_releases(usual) == {"13"}
    of_12 = cloud(debian=12)
    assert told_releases(of_12) == {None}
    assert told_releases(cloud(known=of_12, phpNodes=4, debian="")) == {None}
    assert told_releases(cloud(known=usual, phpNodes=4, debian="")) == {"13"}


@pytest.mark.parametrize(
    ("left", "own_image", "said"),
    [
        ([], True, "image of your own"),
        (["lb1-brick-volume", "lb1-install"], False, "bricks are left"),
        (["lb1-brick-volume"], False, ""),  # of a first update that stopped before its machines
        ([], False, ""),
    ],
)
def test_a_release_that_nobody_can_know_is_asked_for(*, left: list[str], own_image: bool, said: str) -> None:
    last = LastUpdate({name: {} for name in left})
    assert release_of(RELEASES[12], last, own_image=own_image) == RELEASES[12]
    if not said:
        assert release_of(None, last, own_image=own_image) == RELEASES[DEFAULT]
        return
    with pytest.raises(ConfigError, match=rf"debian is not set.*{said}(?s:.*)Example: pulumi config set debian 13"):
        release_of(None, last, own_image=own_image)


@pytest.mark.parametrize(("made", "wanted"), [(12, 13), (13, 12)])
def test_another_release_is_refused(made: int, wanted: int) -> None:
    known = cloud(debian=made)
    with pytest.raises(ConfigError, match=rf"debian is {wanted}, and .*(?s:.*)Example: .* debian {made}"):
        cloud(known=known, debian=wanted)


def test_http3_wants_balancers_that_speak_it() -> None:
    asked: dict[str, Any] = {"acme": {"email": "admin@example.org"}, "siteName": "www.example.org", "http3": True}
    with pytest.raises(ConfigError, match="http3 is true, and lb1 runs Debian 12"):
        cloud(debian=12, **asked)
    # What arrives there is sent to an Elastic IP.
    text = str(revealed(cloud(whole=True, **asked)["lb2-haproxy"].inputs["stdin"]))
    assert len(re.findall(r"bind quic4@10\.64\.\S+:443 ", text)) == 1


def region(names: list[str]) -> zones.Region:
    return zones.Region("eu-central-1", tuple(names), {}, gateway=None, debian=RELEASES[DEFAULT])


def test_a_machines_place_follows_from_its_name_alone() -> None:
    plans = [zones.plan("10.64.0.0/20", region(ZONES), count, Profile.SAFE) for count in (1, 7, 64)]
    addresses = [{machine.name: machine.address for machine in plan.machines} for plan in plans]
    assert addresses[0].items() <= addresses[1].items() <= addresses[2].items()
    assert len(set(addresses[2].values())) == 66


def test_with_two_zones_the_arbiter_is_beside_one_balancer() -> None:
    """One zone has two of the bricks and the arbiter, whatever one does: without it sessions stop."""
    plan = zones.plan("10.64.0.0/20", region(ZONES[:2]), 3, Profile.SAFE)
    parts = zones.subnets(plan.network, ZONES[:2])
    placed = {machine.name: zones.subnet_of(machine, parts).zone for machine in plan.machines}
    assert [placed["lb1"], placed["lb2"]] == ZONES[:2]
    assert set(placed.values()) == set(ZONES[:2])
    assert (placed["php1"], placed["php2"], placed["php3"]) == (ZONES[1], ZONES[0], ZONES[1])


def test_a_brick_is_found_by_its_volume() -> None:
    """EC2 gives the name without its hyphen to the disk, as its serial number; device names may change at a boot."""
    name = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
    assert brick_device("vol-0123456789abcdef0") == name


@pytest.mark.parametrize("count", [1, 2, 10, 50, 64])
@pytest.mark.parametrize("there", [2, 3])
def test_the_smallest_network_that_is_accepted_has_room(count: int, there: int) -> None:
    network = ipaddress.ip_network(f"10.64.0.0/{zones.required_network(count)}")
    plan = zones.plan(str(network), region(ZONES[:there]), count, Profile.SAFE)
    parts = zones.subnets(plan.network, ZONES[:there])
    for machine in plan.machines:
        subnet = zones.subnet_of(machine, parts)
        place = int(ipaddress.ip_address(machine.address)) - int(subnet.network.network_address)
        # Amazon keeps the first four and the last for itself.
        assert 4 <= place < subnet.network.num_addresses - 1
    assert all(part.network.prefixlen <= zones.SMALLEST_PREFIX for part in parts)


def test_a_free_part_is_the_first_that_nobody_has() -> None:
    def net(*texts: str) -> list[ipaddress.IPv4Network]:
        return [ipaddress.IPv4Network(text) for text in texts]

    assert zones.free_part(net("10.9.0.0/16"), net("10.9.4.0/24", "10.9.16.0/20"), 20) == net("10.9.32.0/20")[0]
    assert zones.free_part(net("10.9.0.0/24", "10.8.0.0/20"), [], 22) == net("10.8.0.0/22")[0]
    assert zones.free_part(net("10.9.0.0/24"), net("10.9.0.16/28"), 24) is None
