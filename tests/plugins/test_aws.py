"""The substrate `aws` in the real engine, against a cloud for tests: what EC2's stand-in refuses fails here.

Its instances answer SSH with the host keys and login key that the program gave them, the PHP nodes through the
balancers, and take every step's text without running it: what steps do to a machine is judged in tests/stack, and how a
machine of a cloud is found, pinned and reached is judged here.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi_random as random
import pytest

from components.plan.topology import Role
from components.steps import remote
from components.steps.drift import Drift
from components.steps.host_scripts import pack
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.substrates.aws.advice import give_advice
from scripts.benchmark.ssh_sessions import sessions_of
from scripts.toolchain.aws.world import REGION, World, example_settings, home_with_stand_in
from tests.aws_schema import problems_of_inputs, problems_of_look_up, problems_of_outputs
from tests.plugins.aws_cluster import AwsCluster
from tests.plugins.engine import Engine
from tests.plugins.ssh_server import SshServer, make_key

WHERE_THE_ADDRESS_IS = """
def where():
    address = named(ec2.describe_addresses()["Addresses"], f"php-cluster-{STACK}-site-address")
    owner = address.get("NetworkInterfaceId")
    found = {one["NetworkInterfaceId"]: one for one in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    return next(tag["Value"] for tag in found[owner]["TagSet"] if tag["Key"] == "Name") if owner else None
def move(balancer):
    address = named(ec2.describe_addresses()["Addresses"], f"php-cluster-{STACK}-site-address")
    all = ec2.describe_network_interfaces()["NetworkInterfaces"]
    interface = named(all, f"php-cluster-{STACK}-{balancer}-interface")
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=interface["NetworkInterfaceId"],
        PrivateIpAddress=interface["PrivateIpAddresses"][1]["PrivateIpAddress"], AllowReassociation=True)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[World]:
    made = World(home_with_stand_in(tmp_path_factory.mktemp("home"), engine.home))
    yield made
    made.end()


@pytest.fixture
def stack(tmp_path: Path, world: World) -> Iterator[AwsCluster]:
    made = AwsCluster(tmp_path / "state", world)
    made.set("aws.sshCidrs[0]", "203.0.113.7/32")
    yield made
    made.pulumi("stack", "rm", "--yes", "--force", made.name)


def address_is_with(stack: AwsCluster) -> str | None:
    found: str | None = stack.world.python(f"STACK = '{stack.name}'\n{WHERE_THE_ADDRESS_IS}\nresult = where()")
    return found


def move_address(stack: AwsCluster, balancer: str) -> None:
    stack.world.python(f"STACK = '{stack.name}'\n{WHERE_THE_ADDRESS_IS}\nmove('{balancer}')\nresult = 0")


def test_a_cluster_lives_in_the_cloud(stack: AwsCluster) -> None:
    world = stack.world

    # Credentials that end in the middle, then a quota that is used up: AWS's error, what to do, and a state from which
    # the next one goes on.
    said = stopped_by(stack, "AllocateAddress", "ExpiredToken", "The security token included in the request is expired")
    assert "ExpiredToken" in said and "aws sso login" in said and "goes on" in said
    said = stopped_by(stack, "RunInstances", "VcpuLimitExceeded", "more vCPU than your limit")
    assert "VcpuLimitExceeded" in said and "Service Quotas" in said and "goes on" in said
    made = stack.events("up")
    assert {"lb1-machine", "php2-machine", "volume-start", "lb1-keepalived"} <= made.steps().keys()
    assert "vpc" not in made.steps(), "what had been made was made again"
    assert images_of(stack) == {"debian-13-amd64-20260901-3"}

    # Every machine was reached, and told its own steps.
    told = {(one["machine"], one["step"]) for one in world.tell("steps")}
    assert {(name, f"{name}-install") for name in ("lb1", "lb2", "php1", "php2")} <= told
    assert ("lb2", "lb2-elastic-ip") in told
    assert all(step.startswith(machine) or machine == "lb1" for machine, step in told)

    # The address is the program's; where it is, is keepalived's.
    assert address_is_with(stack) is None
    move_address(stack, "lb2")
    again = stack.events("up", "--refresh", "--expect-no-changes")
    assert set().union(*again.steps().values()) <= {"refresh"}
    assert address_is_with(stack) == f"php-cluster-{stack.name}-lb2-interface"
    outputs = stack.outputs()
    assert outputs["url"] == f"http://{outputs['floatingIp']}/"
    assert stack.run("scripts/ssh", "--stack", stack.name, "php1", "true").returncode == 0

    # A key that somebody deleted is asked for when a machine is to be made; a refresh puts it right.
    world.python(
        "[ec2.delete_key_pair(KeyName=one['KeyName']) for one in ec2.describe_key_pairs()['KeyPairs']]\nresult=0"
    )
    sessions = sessions_of(stack.export())
    stack.set("phpNodes", "3")
    stopped = stack.events("up", check=False)
    assert "InvalidKeyPair.NotFound" in stopped.said and "--refresh" in stopped.said
    world.tell("calls")
    grown = {name: done - {"refresh"} for name, done in stack.events("up", "--refresh").steps().items()}
    touched = {name for name, done in grown.items() if done}
    assert {"login", "php3-machine", "php3-php", "lb1-haproxy"} <= touched
    assert not [name for name in touched if name.startswith(("php1-", "php2-")) or name.endswith("-brick-volume")]
    # What one more node costs, whatever N is: an instance beside the key, and as many SSH sessions as php2.
    calls = world.tell("calls")
    changing = {action: count for action, count in calls.items() if not action.startswith(("Describe", "Get", "List"))}
    assert changing == {"ImportKeyPair": 1, "RunInstances": 1}
    assert sessions_of(stack.export()) == sessions + Counter(php3=sessions["php2"])

    # A replaced balancer keeps its addresses and its disk.
    before = parts_of(stack, "lb2")
    replaced = stack.events("up", "--replace", stack.urn("lb2-machine")).steps()
    after = parts_of(stack, "lb2")
    changed = {part for part in before if before[part] != after[part]}
    assert changed == {"instance"}
    assert {"lb2-brick-attached", "lb2-install", "lb2-keepalived"} <= replaced.keys()
    # The arbiter alone is asked: whether the new one's brick is full.
    assert {name for name in replaced if name.startswith(("lb1-machine", "php"))} == {"php1-arbiter-agrees"}

    stack.events("destroy")
    # Of interfaces and volumes those with tags: moto keeps some that EC2 makes and takes together with an instance.
    left = world.python(
        "result = [ec2.describe_addresses()['Addresses'],"
        " [n for n in ec2.describe_network_interfaces()['NetworkInterfaces'] if n.get('TagSet')],"
        " [v for v in ec2.describe_volumes()['Volumes'] if v.get('Tags')], iam.list_roles()['Roles'],"
        " [v for v in ec2.describe_vpcs()['Vpcs'] if not v['IsDefault']],"
        " ec2.describe_key_pairs()['KeyPairs'], iam.list_instance_profiles()['InstanceProfiles'],"
        " [n for n in ec2.describe_nat_gateways()['NatGateways'] if n['State'] not in ('deleted', 'deleting')],"
        " [i for r in ec2.describe_instances()['Reservations'] for i in r['Instances']"
        "  if i['State']['Name'] not in ('terminated', 'shutting-down')]]"
    )
    assert left == [[]] * 9
    assert_schema(stack.log)


def images_of(stack: AwsCluster) -> set[str]:
    """The names of the images that the stack's machines were made from."""
    mine = [{"Name": "tag:php-cluster:stack", "Values": [stack.name]}]
    names: list[str] = stack.world.python(f"""
made = [i["ImageId"] for r in ec2.describe_instances(Filters={mine})["Reservations"] for i in r["Instances"]]
result = [image["Name"] for image in ec2.describe_images(ImageIds=made)["Images"]]
""")
    return set(names)


def test_balancers_route_in_a_vpc_that_exists(stack: AwsCluster) -> None:
    """What the usual stack has otherwise: the network, two zones, the way out, the profile, and protected machines."""
    world = stack.world
    stack.set("aws.zones[0]", f"{REGION}a")
    stack.set("aws.zones[1]", f"{REGION}b")
    vpc = existing_vpc(world)
    stack.set("aws.vpcId", vpc)
    stack.set("network", "10.9.16.0/20")
    stack.set("aws.egress", "balancers")
    stack.set("aws.terminationProtection", "true")
    stack.set("profile", "article")
    stack.set("phpNodes", "3")
    stack.set("debian", "12")
    made = stack.events("up").steps()
    assert images_of(stack) == {"debian-12-amd64-20260601-2"}
    stack.unset("debian")
    assert not {"vpc", "gateway"} & made.keys() and not [name for name in made if "nat" in name]
    told = {(one["machine"], one["step"]) for one in world.tell("steps")}
    assert {("lb1", "lb1-router"), ("lb2", "lb2-router"), ("php3", "php3-mount")} <= told

    # Each private subnet's way out is the balancer in its zone.
    assert ways_out(world, vpc) == [["private", True], ["private", True], ["public", None], ["public", None]]

    # A protected machine stays, with what to do about it; and it goes when that has been done.
    stack.set("phpNodes", "2")
    stopped = stack.events("up", check=False)
    assert "may not be terminated" in stopped.said and "aws.terminationProtection false" in stopped.said
    stack.set("phpNodes", "3")
    stack.set("aws.terminationProtection", "false")
    assert stack.events("up").steps()["lb1-machine"] == {"update"}
    # What has the sessions is kept by the engine, unless the config says otherwise; PHP nodes come and go.
    stack.unset("protect")
    stack.set("phpNodes", "2")
    shrunk = stack.events("up").steps()
    assert shrunk["php3-machine"] == {"delete"}
    assert not [name for name in shrunk if name.startswith(("lb1-machine", "php1-machine", "php2-machine"))]
    kept = parts_of(stack, "lb1")
    stack.set("aws.zones[0]", f"{REGION}c")
    stopped = stack.events("preview", check=False)
    assert stopped.status != 0 and "marked for protection" in stopped.said, stopped.said
    stack.set("aws.zones[0]", f"{REGION}a")
    refused = stack.pulumi("destroy", "--yes", "--stack", stack.name, check=False)
    assert refused.returncode != 0 and "pulumi state unprotect" in refused.stdout + refused.stderr
    assert parts_of(stack, "lb1") == kept
    stack.set("protect", "false")
    stack.events("up")

    stack.events("destroy")
    left = world.python(
        f"""
here = [{{"Name": "vpc-id", "Values": ["{vpc}"]}}]
attached = [{{"Name": "attachment.vpc-id", "Values": ["{vpc}"]}}]
result = [
    [one["CidrBlock"] for one in ec2.describe_subnets(Filters=here)["Subnets"]],
    len(ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]),
    [one["GroupName"] for one in ec2.describe_security_groups(Filters=here)["SecurityGroups"]],
    [one["RouteTableId"] for one in ec2.describe_route_tables(Filters=here)["RouteTables"]
     if not any(way["Main"] for way in one["Associations"])],
]
"""
    )
    assert left == [["10.9.4.0/24"], 1, ["default"], []]
    assert_schema(stack.log)


def ways_out(world: World, vpc: str) -> list[list[Any]]:
    """Of each subnet of the stack: its kind, and whether its way out is an instance in its zone; None: a gateway."""
    found: list[list[Any]] = world.python(
        f"""
here = [{{"Name": "vpc-id", "Values": ["{vpc}"]}}]
interfaces = {{one["NetworkInterfaceId"]: one for one in ec2.describe_network_interfaces()["NetworkInterfaces"]}}
subnets = {{one["SubnetId"]: one for one in ec2.describe_subnets(Filters=here)["Subnets"]}}
result = []
for table in ec2.describe_route_tables(Filters=here)["RouteTables"]:
    for subnet in [subnets[one["SubnetId"]] for one in table["Associations"] if "SubnetId" in one]:
        [way] = [one for one in table["Routes"] if one.get("DestinationCidrBlock") == "0.0.0.0/0"]
        name = next(tag["Value"] for tag in subnet["Tags"] if tag["Key"] == "Name")
        router = interfaces.get(way.get("NetworkInterfaceId"))
        beside = router and router["AvailabilityZone"] == subnet["AvailabilityZone"]
        result.append([name.split("-")[-2], beside])
result.sort(key=str)
"""
    )
    return found


def existing_vpc(world: World) -> str:
    """A VPC with a gateway and a subnet that somebody uses; its id."""
    made: str = world.python(
        """
result = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(VpcId=result, InternetGatewayId=gateway)
ec2.create_subnet(VpcId=result, CidrBlock="10.9.4.0/24")
"""
    )
    return made


def stopped_by(stack: AwsCluster, action: str, code: str, message: str) -> str:
    """What an `up` says that the cloud stops by refusing one kind of request."""
    stack.world.tell("refuse", {"action": action, "code": code, "message": message})
    stopped = stack.events("up", check=False)
    stack.world.tell("refuse", {"action": action})
    assert stopped.status != 0
    return stopped.said


def parts_of(stack: AwsCluster, balancer: str) -> dict[str, str]:
    """What a balancer consists of, by id."""
    found: dict[str, str] = stack.world.python(
        f"""
name = "php-cluster-{stack.name}-{balancer}"
running = [one for all in ec2.describe_instances()["Reservations"] for one in all["Instances"]
           if one["State"]["Name"] == "running"]
instance = named(running, name)
volume = named(ec2.describe_volumes()["Volumes"], name + "-brick")
assert [one["InstanceId"] for one in volume["Attachments"]] == [instance["InstanceId"]]
assert instance["NetworkInterfaces"], "the instance has no interface"
result = dict(
    instance=instance["InstanceId"],
    volume=volume["VolumeId"],
    interface=instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
    address=named(ec2.describe_addresses()["Addresses"], name + "-address")["PublicIp"],
)
"""
    )
    return found


def assert_schema(log: Path) -> None:
    """Asserts that all that the plugin was asked for, and all that it answered, is in pulumi-aws' own schema."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    types = {line["type"] for line in lines if "type" in line}
    assert {"aws:ec2/instance:Instance", "aws:iam/rolePolicy:RolePolicy", "aws:ec2/eip:Eip"} <= types
    problems: set[str] = set()
    for line in lines:
        if "inputs" in line:
            problems.update(problems_of_inputs(line["type"], line["inputs"]))
        elif "type" in line:
            problems.update(problems_of_outputs(line["type"], line["outputs"]))
        else:
            problems.update(problems_of_look_up(line["lookup"], line["arguments"], line["outputs"]))
    assert problems == set()


def test_the_example_is_previewed_without_an_account_in_no_time(
    stack: AwsCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.more = {}
    for nodes, promised in ((2, 8), (50, 15)):
        example = example_settings(tmp_path / "Pulumi.example.yaml", nodes)
        stack.world.tell("calls")
        begin, begin_cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        previewed = stack.events("preview", "--config-file", str(example))
        taken, end_cpu = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = end_cpu.ru_utime + end_cpu.ru_stime - begin_cpu.ru_utime - begin_cpu.ru_stime
        assert f"php{nodes}-machine" in previewed.steps()
        assert stack.world.tell("calls") == {}, "the cloud was asked"
        with capsys.disabled():
            sys.stdout.write(f"\npreview of 2 + {nodes}: {taken:.1f} s, {cpu:.1f} s of CPU; promised {promised} s\n")
        # The promise is for a person who waits. A box that has other work takes several times as long: this is no
        # measurement, it sees a preview that waits for something it cannot reach.
        assert taken < 10 * promised


def test_a_look_at_the_account_costs_the_same_for_any_number_of_nodes(stack: AwsCluster) -> None:
    counts = []
    for nodes in ("2", "50"):
        stack.set("phpNodes", nodes)
        stack.world.tell("calls")
        stack.events("preview")
        counts.append(stack.world.tell("calls"))
    assert counts[0] == counts[1] and counts[0]


def test_a_machine_that_never_answers_says_what_to_do_and_is_gone_on_with(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first connection with few attempts, since the usual number takes minutes to be used up."""
    monkeypatch.setattr(remote, "FIRST_DIAL_ERROR_LIMIT", 2)
    monkeypatch.setattr(remote, "ARRIVAL", str(tmp_path / "arrived-"))
    packed = tmp_path / "packed.tar"
    packed.write_bytes(pack())
    monkeypatch.setattr(remote, "archive", lambda: packed)
    key = make_key(tmp_path / "key")
    server = SshServer(tmp_path / "server", key)

    def program() -> None:
        give_advice()
        box = random.RandomPassword("box", length=8)
        machine = Machine(
            name="php9",
            role=Role.PHP,
            identity=box.id,
            address="127.0.0.1",
            interface=None,
            brick_source="",
            connection=server.connection(),
            user="root",
            ssh_command="",
            resource=box,
            drift=Drift(LastUpdate()),
        )
        remote.with_scripts(machine, box)

    stack = engine.stack()
    said = stack.fails(program).errors()
    assert "connection refused" in said, said
    assert "php9-scripts: The machine does not answer SSH" in said and "aws.sshCidrs" in said
    server.start()
    try:
        again = stack.up(program)
    finally:
        server.stop()
    assert again.steps["php9-scripts"] == ["create"] and again.steps["box"] == ["same"]
    assert (tmp_path / "arrived-packed.tar").read_bytes() == packed.read_bytes()


def test_names_that_the_account_does_not_have_are_refused_together(stack: AwsCluster) -> None:
    stack.set("aws.zones[0]", "eu-central-1a")
    stack.set("aws.zones[1]", "eu-central-1x")
    stack.set("aws.ami", "ami-0aaaaaaaaaaaaaaa3")
    stack.set("debian", "13")
    stack.set("aws.nodeType", "t9.nano")
    said = refused(stack)
    assert "aws.zones is eu-central-1x" in said and "among eu-central-1a, eu-central-1b" in said
    assert "aws.ami is ami-0aaaaaaaaaaaaaaa3, an image for arm64" in said and "needs one for x86_64" in said
    assert "instance type t9.nano, which eu-central-1 does not have" in said
    assert "Example: pulumi config set" in said


def test_a_network_must_be_a_free_part_of_an_existing_vpc(stack: AwsCluster) -> None:
    vpc = existing_vpc(stack.world)
    stack.set("aws.vpcId", vpc)
    stack.set("network", "10.8.0.0/20")
    said = refused(stack)
    assert "It must be a part of" in said and "pulumi config set network 10.9.16.0/20" in said
    stack.set("network", "10.9.0.0/20")
    said = refused(stack)
    assert "network is 10.9.0.0/20, which overlaps 10.9.4.0/24" in said
    # The value that it gives for an example works.
    stack.set("network", re.search(r"pulumi config set network (\S+)", said)[1])  # type: ignore[index]
    previewed = stack.events("preview").steps()
    assert "public-1" in previewed and "vpc" not in previewed and "gateway" not in previewed


def test_a_vpc_must_have_a_gateway_and_room(stack: AwsCluster) -> None:
    stack.set("aws.vpcId", "vpc-0123456789abcdef0")
    stack.set("network", "10.7.0.0/24")
    said = refused(stack)
    assert "aws.vpcId is vpc-0123456789abcdef0" in said and f"must be a VPC in {REGION}" in said
    vpc = stack.world.python(
        """
result = ec2.create_vpc(CidrBlock="10.7.0.0/24")["Vpc"]["VpcId"]
ec2.create_subnet(VpcId=result, CidrBlock="10.7.0.0/24")
"""
    )
    stack.set("aws.vpcId", vpc)
    stack.set("aws.ami", "ami-0123456789abcdef0")
    stack.set("debian", "13")
    said = refused(stack)
    assert "overlaps 10.7.0.0/24" in said and "give the VPC one more network" in said
    assert f"aws.vpcId is {vpc}, which has no internet gateway" in said and "attach-internet-gateway" in said
    assert "aws.ami is ami-0123456789abcdef0" in said and f"an image in {REGION}" in said


def test_a_wrong_region_and_credentials_that_do_not_work_say_what_to_do(stack: AwsCluster) -> None:
    stack.more = {}
    said = refused(stack)
    assert "No valid credential sources" in said and "AWS_PROFILE" in said
    stack.more = {"AWS_ACCESS_KEY_ID": "old", "AWS_SECRET_ACCESS_KEY": "old", "AWS_SESSION_TOKEN": "old"}
    expired = {"code": "ExpiredToken", "message": "The security token included in the request is expired"}
    stack.world.tell("refuse", {"action": "GetCallerIdentity", **expired})
    said = refused(stack)
    stack.world.tell("refuse", {"action": "GetCallerIdentity"})
    assert "ExpiredToken" in said and "aws sso login" in said
    stack.set("aws:region", "eu-centrall-1")
    said = refused(stack)
    assert "invalid AWS Region: eu-centrall-1" in said and "pulumi config set aws:region" in said


def refused(stack: AwsCluster) -> str:
    """What a preview says that must fail without a stack trace and before it plans anything."""
    done = stack.events("preview", check=False)
    assert done.status != 0
    assert "Traceback" not in done.said, done.said
    assert not [name for name in done.steps() if not re.fullmatch(r"php-cluster-.*|default.*", name)], done.steps()
    return done.said
