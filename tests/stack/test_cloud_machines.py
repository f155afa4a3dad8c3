"""What machines of a cloud alone are told, on machines of the lab: a brick's own block device, the way out for private
machines, and the Elastic IP that follows keepalived, with moto's EC2 in the place of the network's API."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from components.balancer.load_balancer import (
    MAINTENANCE_MAP,
    MAINTENANCE_PAGE,
    haproxy_configuration,
    keepalived_configuration,
)
from components.base.packet_filter import packet_filter
from components.plan import topology
from components.plan.packages import packages_of
from components.plan.topology import BRICK, SHARED_BRICK_DISK, Profile, Topology
from components.steps.host_scripts import pack
from components.steps.remote import ARRIVAL, script_text
from components.substrates.aws.instances import MOVER_PACKAGES
from scripts.floating_ip_switchover import HANDOVER_FILE, HANDOVER_SECONDS
from tests.commands import said
from tests.stack.cluster import wait_for
from tests.stack.own_machines import OwnMachines, own_machines

REGION = "eu-central-1"
NUMBERS = {"lb1": 1, "lb2": 2, "php1": 3}
INSIDE = "10.99.0"
"""A network of private machines, of which the lab's router knows nothing."""


@pytest.fixture(scope="module")
def machines() -> Iterator[OwnMachines]:
    with own_machines("test-cloud-machines", len(NUMBERS)) as made:
        yield made


def plan_of(machines: OwnMachines) -> Topology:
    usual = topology.plan(f"{machines.base}0/24", 1, Profile.ARTICLE)
    at = topology.machines_at([machines.address(1), machines.address(2)], [machines.address(3)], Profile.ARTICLE)
    return replace(usual, machines=at)


def run_step(
    machines: OwnMachines,
    name: str,
    script: str,
    variables: Mapping[str, str],
    files: Mapping[str, str] | None = None,
) -> str:
    """Runs a host script as the program does, twice; what the first run said. The second one has nothing to do."""
    text = script_text(f"{name}-step", script, variables, files)
    first, second = (machines.enter(NUMBERS[name], "timeout 300 bash -s", stdin=text) for _ in range(2))
    assert "(nothing to change)" in second, second
    return first


@pytest.fixture(scope="module")
def installed(machines: OwnMachines) -> OwnMachines:
    plan = plan_of(machines)
    for planned in plan.balancers:
        variables = {
            "HOST_NAME": planned.name,
            "HOST_TABLE": plan.host_table,
            "PACKET_FILTER": packet_filter(plan, planned),
            "EXACT": "yes",
            "LOG_DAYS": "14",
            "PACKAGES": " ".join([*packages_of(planned, ()), *MOVER_PACKAGES]),
        }
        machines.enter(NUMBERS[planned.name], f"cat >{ARRIVAL}test.tar", stdin=pack().decode())
        files = {
            "PACKET_FILTER_SERVICE": "base/packet-filter.service",
            "NFTABLES_DROP_IN": "base/nftables.drop-in.conf",
        }
        run_step(machines, planned.name, "base/install.sh", variables, files)
    return machines


@pytest.fixture
def disk(installed: OwnMachines, tmp_path: Path) -> Iterator[str]:
    """An empty block device of lb1, as a volume of the cloud is; its name there."""
    image = tmp_path / "volume"
    with image.open("wb") as file:
        file.truncate(1 << 30)
    device = said("losetup", "--find", "--show", str(image)).strip()
    major, minor = (int(number, 16) for number in said("stat", "--format", "%t:%T", device).split(":"))
    try:
        installed.enter(1, f"mknod /dev/volume b {major} {minor}")
        yield "/dev/volume"
    finally:
        # It goes with its last mount.
        said("losetup", "--detach", device)
        installed.enter(1, f"systemctl stop glusterd; umount {SHARED_BRICK_DISK} || true; rm -f /dev/volume")


def test_a_brick_gets_its_own_disk_which_is_never_formatted_twice(installed: OwnMachines, disk: str) -> None:
    variables = {"BRICK_SOURCE": disk, "BRICK_DISK": SHARED_BRICK_DISK, "BRICK": BRICK, "PEERS": "lb2"}
    files = {"GLUSTERD_DROP_IN": "gluster/glusterd.drop-in.conf"}
    assert f"formats {disk}" in run_step(installed, "lb1", "gluster/brick.sh", variables, files)
    assert installed.enter(1, f"findmnt --noheadings --output FSTYPE,OPTIONS {SHARED_BRICK_DISK}").startswith("xfs")
    assert "noatime" in installed.enter(1, f"findmnt --noheadings --output OPTIONS {SHARED_BRICK_DISK}")
    installed.enter(
        1, f"touch {BRICK}/kept; systemctl stop glusterd; umount {SHARED_BRICK_DISK}; sed -i '/xfs/d' /etc/fstab"
    )
    # As a new instance finds the disk of the old one.
    again = run_step(installed, "lb1", "gluster/brick.sh", variables, files)
    assert "formats" not in again and "mounts" in again
    assert installed.enter(1, f"ls {BRICK}/kept")


def test_private_machines_reach_the_world_through_a_balancer(installed: OwnMachines) -> None:
    gateway, first_process = f"{installed.base}1", "ps -o lstart= -p 1"
    installed.enter(1, f"ip address replace {INSIDE}.1/24 dev host0")
    installed.enter(3, f"ip address replace {INSIDE}.3/24 dev host0")
    installed.enter(3, f"ip route replace {gateway}/32 via {INSIDE}.1 src {INSIDE}.3")
    reaches = f"ping -c 1 -W 2 -I {INSIDE}.3 {gateway} >/dev/null && echo reaches || true"
    assert installed.enter(3, reaches) == ""
    files = {"ROUTER_SERVICE": "base/router.service"}
    run_step(installed, "lb1", "base/router.sh", {"NETWORK": f"{INSIDE}.0/24"}, files)
    assert installed.enter(3, reaches) == "reaches"
    boot = installed.enter(1, first_process)
    installed.enter(1, "systemctl --no-block reboot")
    wait_for("lb1 has booted again", lambda: installed.enter(1, first_process) != boot)

    def routes_again() -> bool:
        # Whatever networkd makes of an address that is not its own while the machine boots.
        installed.enter(1, f"ip address replace {INSIDE}.1/24 dev host0")
        return installed.enter(3, reaches) == "reaches"

    wait_for("it routes again", routes_again)


class Api:
    """EC2 with an address and the balancers' interfaces, where machines of the lab reach it."""

    def __init__(self, machines: OwnMachines) -> None:
        self.server = ThreadedMotoServer(ip_address=f"{machines.base}1", port=0, verbose=False)
        self.server.start()
        self.endpoint = "http://{}:{}".format(*self.server.get_host_and_port())
        self.ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=self.endpoint)
        vpc = self.ec2.create_vpc(CidrBlock="10.64.0.0/20")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/23")["Subnet"]["SubnetId"]
        self.interfaces = {
            name: self.ec2.create_network_interface(
                SubnetId=subnet,
                PrivateIpAddresses=[
                    {"PrivateIpAddress": f"10.64.0.{number}0", "Primary": True},
                    {"PrivateIpAddress": f"10.64.0.{number}1", "Primary": False},
                ],
            )["NetworkInterface"]["NetworkInterfaceId"]
            for number, name in enumerate(("lb1", "lb2"), 1)
        }
        made = self.ec2.allocate_address(Domain="vpc")
        self.address, self.allocation = made["PublicIp"], made["AllocationId"]

    def settings(self, balancer: str) -> str:
        known: dict[str, Any] = {
            "region": REGION,
            "allocation": self.allocation,
            "self": balancer,
            "interfaces": {
                name: {"id": interface, "address": f"10.64.0.{number}1"}
                for number, (name, interface) in enumerate(self.interfaces.items(), 1)
            },
            "endpoint": self.endpoint,
        }
        return json.dumps(known)

    def holder(self) -> str | None:
        [found] = self.ec2.describe_addresses(AllocationIds=[self.allocation])["Addresses"]
        held = found.get("NetworkInterfaceId")
        return next((name for name, interface in self.interfaces.items() if interface == held), None)


@pytest.fixture
def api(installed: OwnMachines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    made = Api(installed)
    yield made
    made.server.stop()


# In the place of the instance's role.
ROLE = """
mkdir -p /etc/systemd/system/{php-cluster-elastic-ip,php-cluster-balancer}.service.d
printf '[Service]\\nEnvironment=AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\\n' |
    tee /etc/systemd/system/{php-cluster-elastic-ip,php-cluster-balancer}.service.d/role.conf
systemctl daemon-reload
"""
# In the place of a PHP node.
HEALTHY = """
mkdir -p /run/site && cd /run/site && echo ok | tee health >alive
systemd-run --quiet --unit node --working-directory /run/site python3 -m http.server 8406
"""


def test_an_elastic_ip_follows_keepalived(installed: OwnMachines, api: Api) -> None:
    plan, elastic = plan_of(installed), [f"{installed.base}110", f"{installed.base}120"]
    installed.enter(NUMBERS["php1"], HEALTHY)
    for index, name in enumerate(("lb1", "lb2")):
        installed.enter(NUMBERS[name], ROLE)
        run_step(
            installed,
            name,
            "balancer/elastic-ip.sh",
            {"SETTINGS": api.settings(name)},
            {"PROGRAM": "balancer/elastic-ip", "ELASTIC_IP_SERVICE": "balancer/elastic-ip.service"},
        )
        configuration = haproxy_configuration(plan, index, "hidden", tls=False, request_seconds=60)
        haproxy = {"HAPROXY_CFG": configuration, "TLS_PEM": "", "TLS_PATH": "/etc/pem", "DRAIN_SECONDS": "1"}
        haproxy |= {"MAINTENANCE_MAP": MAINTENANCE_MAP, "MAINTENANCE_PAGE": MAINTENANCE_PAGE}
        files = {"HAPROXY_DROP_IN": "balancer/haproxy.drop-in.conf", "MAINTENANCE_HTML": "balancer/maintenance.html"}
        run_step(installed, name, "balancer/haproxy.sh", haproxy, files)
    assert api.holder() is None
    for index, (name, peer) in enumerate((("lb1", "lb2"), ("lb2", "lb1"))):
        watching = {
            "KEEPALIVED_CONF": keepalived_configuration(plan, index, None, elastic),
            "FLOATING_IP": elastic[index],
            "PEER": peer,
            "WITNESS": plan.php_nodes[0].address,
            "ADDRESS": plan.balancers[index].address,
        }
        files = {
            "WATCH_BALANCER": "balancer/watch-balancer",
            "BALANCER_SERVICE": "balancer/balancer.service",
            "KEEPALIVED_DROP_IN": "balancer/keepalived.drop-in.conf",
        }
        run_step(installed, name, "balancer/keepalived.sh", watching, files)
    wait_for("both have a state", lambda: state_of(installed, "lb1") and state_of(installed, "lb2"))
    wait_for("the address is taken", api.holder)
    keys = "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
    holder = str(api.holder())
    text = script_text("held", "balancer/elastic-ip-held.sh", {"FLOATING_IP": api.address})
    held = installed.enter(1, f"{keys}; bash -s", stdin=text)
    assert f"{api.address} is with {holder}" in held

    other = {"lb1": "lb2", "lb2": "lb1"}[holder]
    said("scripts/lab/power-off", "--stack", installed.stack, f"m{NUMBERS[holder]}")
    wait_for("the other balancer has it", lambda: api.holder() == other)
    said("scripts/lab/restore", "--stack", installed.stack, f"m{NUMBERS[holder]}")
    wait_for("the first is back", lambda: state_of(installed, holder) == "BACKUP")
    assert api.holder() == other
    # Who is asked to hand it over does so (scripts/switchover), and gets no chance to take it back.
    installed.enter(NUMBERS[other], f"echo $((EPOCHSECONDS + {HANDOVER_SECONDS})) >{HANDOVER_FILE}")
    wait_for("the first has it again", lambda: api.holder() == holder)
    wait_for("the other one may take over", lambda: state_of(installed, other) == "BACKUP")
    assert api.holder() == holder
    # An orderly stop moves it, too.
    installed.enter(NUMBERS[holder], "systemctl stop keepalived")
    wait_for("the other one has it", lambda: api.holder() == other)


def state_of(machines: OwnMachines, name: str) -> str:
    """As the mover has last heard it from keepalived."""
    return machines.enter(NUMBERS[name], "awk '{ print $3 }' /run/php-cluster-vrrp-state")
