"""One machine, made and mistreated by the lab's own scripts; no Pulumi in it."""

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from components.substrates.local.identity import checkout_identity, default_network, lab_id
from components.substrates.ssh_keys import SEED_BYTES, private_key, public_key
from tests.commands import PROJECT, said
from tests.lab.conftest import Image
from tests.stack.cluster import leftovers, wait_for

STACK = "test-lab"
NAME = "php1"


@dataclass
class Box:
    """One machine on a network of its own."""

    image: Image
    lab: str = field(default_factory=lambda: lab_id(STACK, checkout_identity()))

    def __post_init__(self) -> None:
        base = default_network(STACK).removesuffix("0/24")
        self.address = f"{base}21"
        self.host_key = private_key(b"h" * SEED_BYTES)
        self.environment = {
            **os.environ,
            "LAB": self.lab,
            "STACK": STACK,
            "CHECKOUT": checkout_identity(),
            "NETWORK": f"{base}0/24",
            "GATEWAY": f"{base}1",
            "NAME": NAME,
            "ADDRESS": self.address,
            "PREFIX": "24",
            "IMAGE": str(self.image.folder),
            "BRICK_GIB": "1",
            "AUTHORIZED_KEY": public_key(b"l" * SEED_BYTES),
        }

    def script(self, *words: str, stdin: str = "") -> str:
        """What the script says."""
        return said(f"scripts/lab/{words[0]}", *words[1:], environment=self.environment, stdin=stdin)

    def up(self) -> None:
        self.script("machine", "up", stdin=self.host_key)

    def act(self, verb: str) -> None:
        self.script(verb, "--stack", STACK, NAME)

    def inside(self, command: str) -> str:
        return self.script("enter", "--stack", STACK, NAME, "bash", "-c", command).strip()

    def state(self) -> str:
        [row] = [line.split(maxsplit=3) for line in self.script("list").splitlines() if line.startswith(STACK)]
        assert row[1:3] == [NAME, self.address]
        return row[3]

    def boot(self) -> str:
        return self.inside("cat /proc/1/stat | cut -d ' ' -f 22")

    def is_reachable(self, address: str = "") -> bool:
        """Whether its kernel takes a connection; a frozen machine's does."""
        try:
            socket.create_connection((address or self.address, 22), timeout=2).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def box(image: Image) -> Iterator[Box]:
    made = Box(image)
    try:
        made.script("network", "up")
        made.up()
        yield made
    finally:
        made.script("machine", "down")
        made.script("network", "down")
        # Not even when there is nothing left to remove.
        made.script("machine", "down")
        made.script("network", "down")
    assert leftovers(made.lab) == []


def test_up_again_changes_nothing(box: Box) -> None:
    boot = box.boot()
    box.up()
    assert (box.state(), box.boot()) == ("running", boot)
    assert leftovers(box.lab) != [], "the check for leftovers would not see any"


def test_it_has_an_identity_and_a_disk_of_its_own(box: Box) -> None:
    assert box.inside("hostname") == NAME
    assert len(box.inside("cat /etc/machine-id")) == 32
    assert box.inside("cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub") == public_key(b"h" * SEED_BYTES)
    assert box.inside("findmnt --noheadings --output FSTYPE /data") == "xfs"
    assert box.inside("systemctl is-system-running --wait || systemctl --failed --no-legend") == "running"


def test_a_running_machine_takes_ipv6_and_lets_it_go(box: Box) -> None:
    """Whatever else has addresses there keeps them: keepalived's are none of systemd-networkd's."""
    boot, kept = box.boot(), "198.18.0.99/32"
    box.inside(f"ip address add {kept} dev host0")
    ipv6 = "ip -6 -oneline address show dev host0 scope global | awk '{ print $4 }'"
    with_ipv6 = {"ADDRESS6": "fd00:9::11", "GATEWAY6": "fd00:9::1"}
    assert box.inside(ipv6) == ""
    box.environment |= with_ipv6
    box.script("network", "up")
    box.up()
    assert box.inside(ipv6) == "fd00:9::11/64"
    wait_for("it answers there", lambda: box.is_reachable("fd00:9::11"))
    # The same after a boot.
    box.inside("systemctl --no-block reboot")
    wait_for("it has booted", lambda: box.boot() != boot)
    wait_for("it has its address", lambda: box.inside(ipv6) == "fd00:9::11/64" and box.is_reachable("fd00:9::11"))
    boot = box.boot()
    box.inside(f"ip address add {kept} dev host0")
    for name in with_ipv6:
        del box.environment[name]
    box.up()
    box.script("network", "up")
    assert box.inside(ipv6) == ""
    assert kept in box.inside("ip -oneline address show dev host0") and box.boot() == boot
    box.inside(f"ip address delete {kept} dev host0")


def test_it_reaches_the_packages(box: Box) -> None:
    box.inside("apt-get update 2>&1")


def test_a_disk_that_is_kept_is_that_of_the_next_machine(box: Box) -> None:
    box.inside("mkdir /data/kept; touch /data/kept/glusterd.tar; touch /etc/of-the-machine")
    box.script("machine", "down")
    # An engine that was killed tells it again.
    box.script("machine", "down")
    box.up()
    assert box.inside("cd /data && find kept -type f") == "kept/glusterd.tar"
    assert box.inside("test -e /etc/of-the-machine || echo new") == "new"
    box.inside("rm -r /data/kept; touch /data/of-the-disk")
    box.script("machine", "down")
    box.up()
    assert box.inside("ls /data") == ""


def test_frozen_and_restored(box: Box) -> None:
    boot = box.boot()
    box.act("freeze")
    assert box.state() == "frozen"
    # Its kernel is the box's, and still answers.
    assert box.is_reachable()
    box.act("restore")
    assert (box.state(), box.boot()) == ("running", boot)


def test_cut_and_restored(box: Box) -> None:
    boot = box.boot()
    box.act("cut")
    assert box.state() == "cut off" and not box.is_reachable()
    assert box.inside("echo goes on") == "goes on"
    box.act("restore")
    wait_for("the link is back", box.is_reachable)
    assert (box.state(), box.boot()) == ("running", boot)


def test_its_packets_are_dropped_and_restored(box: Box) -> None:
    boot = box.boot()
    box.script("drop", "--stack", STACK, "all", NAME)
    assert not box.is_reachable()
    box.act("restore")
    wait_for("its packets pass", box.is_reachable)
    assert box.boot() == boot


def test_its_disk_fails_and_is_restored(box: Box) -> None:
    boot = box.boot()
    box.inside("echo kept >/data/file; sync")
    box.act("fail-disk")
    assert box.inside("cat /data/file 2>&1 || true").endswith("Input/output error")
    assert box.inside("echo goes on") == "goes on"
    box.act("restore")
    wait_for("it has booted", lambda: box.boot() != boot)
    assert box.inside("cat /data/file") == "kept"


@pytest.mark.parametrize("before", ["nothing", "cut", "freeze"])
def test_power_lost_and_restored(box: Box, before: str) -> None:
    boot = box.boot()
    box.inside("echo kept | tee /root/file /data/file >/dev/null; sync")
    if before != "nothing":
        box.act(before)
    box.act("power-off")
    assert box.state() == "off" and not box.is_reachable()
    box.act("power-off")
    box.act("restore")
    wait_for("it has booted", lambda: box.boot() != boot)
    wait_for("it is on the network", box.is_reachable)
    assert box.inside("cat /root/file /data/file") == "kept\nkept"
    box.act("restore")
    assert box.state() == "running"


def test_it_reboots_by_itself(box: Box) -> None:
    boot = box.boot()
    box.inside("systemctl --no-block reboot")
    wait_for("it has booted", lambda: box.boot() != boot)


def test_commands_from_outside_end_with_the_machine(box: Box) -> None:
    # systemd stops every process of a machine before it kills them. What waits for such a command outside must not stop
    # with it: the machine could not end before the command was collected.
    boot = box.boot()
    entered = [
        subprocess.Popen(
            ["scripts/lab/enter", "--stack", STACK, NAME, "bash", "-c", "echo here; sleep infinity"],
            cwd=PROJECT,
            env=box.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(5)
    ]
    for process in entered:
        assert process.stdout is not None and process.stdout.readline() == b"here\n"
    box.inside("systemctl --no-block reboot")
    for process in entered:
        with process:
            assert process.wait(timeout=300) != 0
    wait_for("it has booted", lambda: box.boot() != boot)


def test_a_machine_switched_off_inside_is_started_by_up(box: Box) -> None:
    wait_for("it has booted", lambda: box.inside("systemctl is-system-running || true") in ("running", "degraded"))
    box.inside("systemctl --no-block poweroff")
    wait_for("it is off", lambda: box.state() == "off")
    box.up()
    assert box.state() == "running"


def test_the_network_takes_a_forgotten_machine_with_it(box: Box) -> None:
    """An update that was killed while it made a machine has not noted it; what it then destroys is the network."""
    box.script("network", "down")
    assert leftovers(box.lab) == []
    box.script("network", "up")
    box.up()


def test_a_machine_that_does_not_exist_is_named(box: Box) -> None:
    done = subprocess.run(
        ["scripts/lab/cut", "--stack", STACK, "php9"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.strip() == f"stack {STACK} has no machine php9, only: {NAME}"
