"""Who gets the Elastic IP, and what the balancers may do to it: balancer/elastic-ip against moto's EC2 and IAM."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from components.substrates.aws.floating_address import move_policy
from tests.commands import PROJECT

PROGRAM = PROJECT / "scripts" / "hosts" / "balancer/elastic-ip"
REGION = "eu-central-1"
ACCOUNT = "123456789012"


def _load() -> Any:
    loader = importlib.machinery.SourceFileLoader("elastic_ip", str(PROGRAM))
    spec = importlib.util.spec_from_loader("elastic_ip", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["elastic_ip"] = module
    loader.exec_module(module)
    return module


mover = _load()
LOOK = mover.LOOK_SECONDS


def active(priority: int) -> Any:
    claim = mover.Claim()
    claim.hear(f'INSTANCE "site" MASTER {priority}')
    return claim


def test_the_active_one_takes_an_address_that_nobody_has() -> None:
    assert active(150).decide(None, "lb1", ["lb2"], now=0) == "lb1"
    assert active(100).decide(None, "lb2", ["lb1"], now=0) == "lb2"
    assert active(100).decide("lb2", "lb2", ["lb1"], now=0) is None


def test_one_that_becomes_active_takes_it_from_the_other() -> None:
    assert active(150).decide("lb2", "lb1", ["lb2"], now=0) == "lb1"
    assert active(100).decide("lb1", "lb2", ["lb1"], now=0) == "lb2"


@pytest.mark.parametrize("state", ["BACKUP", "FAULT", "STOP"])
def test_one_that_is_not_active_gives_it_back(state: str) -> None:
    claim = active(100)
    claim.hear(f'INSTANCE "site" {state} 100')
    assert claim.decide("lb2", "lb2", ["lb1"], now=0) == "lb1"
    assert claim.decide("lb1", "lb2", ["lb1"], now=0) is None
    assert claim.decide(None, "lb2", ["lb1"], now=0) is None


def test_two_that_do_not_see_each_other_do_not_quarrel() -> None:
    """Both are active: the one of the lower priority comes back ever more seldom."""
    strong, weak, holder, moves = active(150), active(100), None, []
    for second in range(0, 1000, int(LOOK)):
        for claim, me, other in ((weak, "lb2", "lb1"), (strong, "lb1", "lb2")):
            target = claim.decide(holder, me, [other], now=second)
            if target:
                holder, claim.held = target, True
                moves.append((second, me))
        assert holder == "lb1"
    taken = [second for second, me in moves if me == "lb2"]
    waits = [later - earlier for earlier, later in itertools.pairwise(taken)]
    assert waits == sorted(waits) and waits[-1] >= 100 and len(taken) < 12


def test_a_late_request_of_a_dead_one_is_put_right() -> None:
    claim = active(100)
    assert claim.decide("lb1", "lb2", ["lb1"], now=0) == "lb2"
    claim.held = True
    # lb1 is gone, but what it had asked for before has only now been done.
    assert claim.decide("lb1", "lb2", ["lb1"], now=LOOK) is None
    assert claim.decide("lb1", "lb2", ["lb1"], now=3 * LOOK) == "lb2"


def test_other_lines_are_left_alone() -> None:
    claim = mover.Claim()
    for line in ("", "GROUP x MASTER 1", "INSTANCE", "nonsense"):
        claim.hear(line)
    assert claim == mover.Claim()


@dataclass
class Site:
    """An address and two interfaces in moto's cloud."""

    endpoint: str
    allocation: str
    interfaces: dict[str, dict[str, str]]
    ec2: Any

    def settings(self, balancer: str) -> dict[str, Any]:
        return {
            "region": REGION,
            "allocation": self.allocation,
            "self": balancer,
            "interfaces": self.interfaces,
            "endpoint": self.endpoint,
        }

    def holder(self) -> str | None:
        found: str | None = mover.Address(self.settings("lb1")).holder()
        return found


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=endpoint)
    vpc = ec2.create_vpc(CidrBlock="10.64.0.0/20")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/23")["Subnet"]["SubnetId"]
    interfaces = {}
    for index, name in enumerate(("lb1", "lb2"), start=1):
        visitors = f"10.64.0.1{index}0"
        made = ec2.create_network_interface(
            SubnetId=subnet,
            PrivateIpAddresses=[
                {"PrivateIpAddress": f"10.64.0.1{index}", "Primary": True},
                {"PrivateIpAddress": visitors, "Primary": False},
            ],
        )
        interfaces[name] = {"id": made["NetworkInterface"]["NetworkInterfaceId"], "address": visitors}
    yield Site(endpoint, ec2.allocate_address(Domain="vpc")["AllocationId"], interfaces, ec2)
    server.stop()


@dataclass
class Follower:
    """The service of one balancer, with a FIFO into which the test writes as keepalived would."""

    folder: Path
    process: subprocess.Popen[str]

    def tell(self, state: str, priority: int) -> None:
        fifo = self.folder / "fifo"
        _wait(fifo.exists)
        with fifo.open("w") as source:
            source.write(f'INSTANCE "site" {state} {priority}\n')


@pytest.fixture
def start(site: Site, tmp_path: Path) -> Iterator[Callable[[str], Follower]]:
    running = []

    def begin(balancer: str) -> Follower:
        folder = tmp_path / balancer
        folder.mkdir(exist_ok=True)
        (folder / "settings").write_text(json.dumps(site.settings(balancer)))
        places = {"SETTINGS": "settings", "FIFO": "fifo", "STATE": "state"}
        environment = {f"ELASTIC_IP_{name}": str(folder / file) for name, file in places.items()}
        process = subprocess.Popen(
            [sys.executable, PROGRAM, "follow"],
            env={**os.environ, **environment, "ELASTIC_IP_LOOK_SECONDS": "0.5"},
            text=True,
        )
        running.append(process)
        return Follower(folder, process)

    yield begin
    for process in running:
        process.terminate()
        process.wait()


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited 60 s in vain"
        time.sleep(0.05)


def test_the_address_follows_keepalived(site: Site, start: Callable[[str], Follower]) -> None:
    first, second = start("lb1"), start("lb2")
    assert site.holder() is None
    first.tell("MASTER", 150)
    _wait(lambda: site.holder() == "lb1")
    [address] = site.ec2.describe_addresses(AllocationIds=[site.allocation])["Addresses"]
    assert address["NetworkInterfaceId"] == site.interfaces["lb1"]["id"]

    # The active one dies without a word.
    first.process.kill()
    first.process.wait()
    second.tell("MASTER", 100)
    _wait(lambda: site.holder() == "lb2")

    # It comes back, and its service remembers nothing that is no longer so.
    first = start("lb1")
    first.tell("BACKUP", 150)
    time.sleep(1)
    assert site.holder() == "lb2"

    # A false one: it is told to step down, and gives the address back without the other's doing.
    second.tell("BACKUP", 100)
    _wait(lambda: site.holder() == "lb1")


def test_a_service_that_is_started_again_goes_on(site: Site, start: Callable[[str], Follower]) -> None:
    one = start("lb2")
    one.tell("MASTER", 100)
    _wait(lambda: site.holder() == "lb2")
    one.process.kill()
    one.process.wait()
    [address] = site.ec2.describe_addresses(AllocationIds=[site.allocation])["Addresses"]
    site.ec2.disassociate_address(AssociationId=address["AssociationId"])
    start("lb2")
    _wait(lambda: site.holder() == "lb2")


def test_the_holder_is_named(site: Site, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text(json.dumps(site.settings("lb1")))

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, PROGRAM, "holder"],
            env={**os.environ, "ELASTIC_IP_SETTINGS": str(settings)},
            capture_output=True,
            text=True,
            check=False,
        )

    nobody = ask()
    assert nobody.returncode == 1 and "with nobody" in nobody.stderr
    mover.Address(site.settings("lb1")).give("lb2")
    assert ask().stdout == "lb2\n"


def test_the_role_may_move_its_own_address_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    iam = boto3.client("iam", region_name=REGION, endpoint_url=site.endpoint)

    def arn(kind: str, identity: str) -> str:
        return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{identity}"

    interfaces = [arn("network-interface", known["id"]) for known in site.interfaces.values()]
    policy = move_policy(arn("balancer/elastic-ip", site.allocation), interfaces)
    assert _allows(policy, "ec2:AssociateAddress", [arn("balancer/elastic-ip", site.allocation), interfaces[1]])
    stranger, strange_address = arn("network-interface", "eni-0"), arn("balancer/elastic-ip", "eipalloc-0")
    assert not _allows(policy, "ec2:AssociateAddress", [arn("balancer/elastic-ip", site.allocation), stranger])
    assert not _allows(policy, "ec2:AssociateAddress", [strange_address, interfaces[0]])
    assert _allows(policy, "ec2:DescribeAddresses", ["*"])

    # And nothing else: every action that botocore knows of EC2, IAM and S3, on everything that there is.
    allowed = {
        f"{service}:{action}"
        for service in ("ec2", "iam", "s3", "sts")
        for action in boto3.client(service, region_name=REGION).meta.service_model.operation_names
        if _allows(policy, f"{service}:{action}", [strange_address])
        or _allows(policy, f"{service}:{action}", [arn("balancer/elastic-ip", site.allocation)])
    }
    assert allowed == {"ec2:AssociateAddress", "ec2:DescribeAddresses"}

    # The same said by moto's enforcement, which looks at actions alone, to a user who has this policy and no other.
    iam.create_user(UserName="balancer")
    iam.put_user_policy(UserName="balancer", PolicyName="move", PolicyDocument=policy)
    key = iam.create_access_key(UserName="balancer")["AccessKey"]
    from_now_on = urllib.request.Request(
        f"{site.endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(from_now_on) as answer:
        assert answer.status == 200
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    address = mover.Address(site.settings("lb1"))
    assert address.holder() is None
    forbidden: list[Callable[[], object]] = [
        lambda: address.client.release_address(AllocationId=site.allocation),
        lambda: address.client.allocate_address(Domain="vpc"),
        address.client.describe_instances,
        lambda: address.client.disassociate_address(AssociationId="eipassoc-0"),
    ]
    for call in forbidden:
        with pytest.raises(ClientError, match="not authorized to perform"):
            call()


def _allows(policy: str, action: str, resources: list[str]) -> bool:
    """IAM's evaluation of one identity policy of plain names: each resource of the call must be allowed."""

    def listed(value: Any) -> list[str]:
        return value if isinstance(value, list) else [value]

    statements = json.loads(policy)["Statement"]
    for statement in statements:
        # What this evaluation does not know must not be in the policy.
        assert statement.keys() == {"Effect", "Action", "Resource"} and statement["Effect"] == "Allow"
        assert not any("*" in name for name in listed(statement["Action"]))
    return all(
        any(
            action in listed(statement["Action"])
            and ("*" in listed(statement["Resource"]) or resource in listed(statement["Resource"]))
            for statement in statements
        )
        for resource in resources
    )
