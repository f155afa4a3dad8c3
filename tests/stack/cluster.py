"""A real stack, driven as a user drives it: the `pulumi` command, HTTP, SSH and the lab's scripts."""

from __future__ import annotations

import contextlib
import email.message
import http.cookies
import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import pytest

from components.plan.debian import DEFAULT
from components.plan.topology import ARBITER_FOLDER
from components.sessions.log import SOCKET
from components.substrates.local.identity import NETWORKS, checkout_identity, default_network, lab_id
from scripts.lab.free_network import networks_in_use
from scripts.stack import Stack, StackError
from tests.commands import PROJECT
from tests.release import RELEASE

JOURNALS = PROJECT / ".cluster" / "journals"
T = TypeVar("T")

# A proxy of the box is for the outside; the machines are reached directly.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(what: str, condition: Callable[[], T], limit: float = 120, pause: float = 0.2) -> T:
    """Repeats `condition` until it gives something true, and returns it; an exception counts as not yet."""
    deadline = time.monotonic() + limit
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = condition()
        except (OSError, AssertionError, StackError, subprocess.SubprocessError, ValueError) as problem:
            last = problem
        else:
            if last:
                return last
        time.sleep(pause)
    raise AssertionError(f"waited {limit} s in vain until {what}; last seen: {last!r}")


@dataclass
class Answer:
    """What the site said to one request."""

    status: int
    headers: email.message.Message
    text: str

    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


def request(url: str, headers: Mapping[str, str] | None = None, timeout: float = 10) -> Answer:
    """One GET; an HTTP error is an answer too."""
    asked = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with _direct.open(asked, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read().decode())


@dataclass
class Visitor:
    """A browser with a cookie, who counts."""

    url: str
    cookie: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)

    def visit(self) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        answer = request(self.url, headers)
        assert answer.status == 200, f"{answer.status}: {answer.text[:300]}"
        cookies = http.cookies.SimpleCookie(answer.headers.get("Set-Cookie", ""))
        for name, morsel in cookies.items():
            self.cookie = f"{name}={morsel.value}"
        self.seen.append(answer.json())
        return self.seen[-1]

    @property
    def count(self) -> int:
        return int(self.seen[-1]["counter"])


_networks: set[IPv4Network] = set()
"""Those of stacks that have a name, and may not be up yet."""


def _name_with_a_free_network() -> str:
    """A name whose network no other stack of this box has: there are 512, and a run of all tests makes dozens.

    Those of pytest's processes that run side by side differ in the last bit.
    """
    taken = _networks | networks_in_use().keys()
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        name = f"test-{secrets.token_hex(3)}"
        network = IPv4Network(default_network(name))
        if network.network_address.packed[2] % 2 == process % 2 and not any(network.overlaps(other) for other in taken):
            _networks.add(network)
            return name


@dataclass
class Cluster(Stack):
    """A stack of the lab, as its user and its visitors see it."""

    name: str = field(default_factory=_name_with_a_free_network)

    def __post_init__(self) -> None:
        # This box stands for visitors of many addresses, and has one.
        self.config = {"limits.exempt[0]": NETWORKS, **self.config}
        if store := os.environ.get("SESSION_STORE"):
            self.config = {"sessionStore": store, **self.config}
        if RELEASE.number != DEFAULT:
            self.config = {"debian": str(RELEASE.number), **self.config}
        super().__post_init__()

    @property
    def lab(self) -> str:
        return lab_id(self.name, checkout_identity(self.checkout / ".cluster" / "identity"))

    def up(self) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", self.name).stdout

    def address(self, machine: str) -> str:
        """A machine's own address."""
        return str(self.outputs()["machines"][machine]["address"])

    def visitor(self) -> Visitor:
        return Visitor(self.outputs()["url"])

    def visitor6(self) -> Visitor:
        """One who comes by IPv6."""
        return Visitor(f"http://[{self.outputs()['floatingIp6']}]/")

    def ssh(self, machine: str, command: str, stdin: str | None = None, check: bool = True) -> str:
        """Runs a command on a machine the way the README says."""
        done = self.run("scripts/ssh", "--stack", self.name, machine, command, stdin=stdin or "")
        if check and done.returncode != 0:
            raise StackError(f"{machine}: {command!r} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def owners_of_floating_ip(self, output: str = "floatingIp") -> list[str]:
        """The load balancers that hold the address, or the IPv6 one (`floatingIp6`), now."""
        address = self.outputs()[output]
        return [
            name
            for name in ("lb1", "lb2")
            if self.is_running(name) and f" {address}/" in self.enter(name, "ip -oneline address")
        ]

    def is_running(self, machine: str) -> bool:
        return f"{self.lab}-{machine}" in _nspawn_machines()

    def save_journals(self) -> None:
        """Keeps what the machines' journals say, if there are machines, for whoever reads why a test failed."""
        with contextlib.suppress(StackError):
            self.lab_command("journals", str(JOURNALS))


# All but a MiB of a brick's disk is reserved in one step, then the rest is filled to the last block.
_RESERVE = "fallocate --length $(($(df --output=avail --block-size=1 /session | tail --lines=1) - 1048576))"
FILL_DISK = f"{_RESERVE} /session/ballast; cat /dev/zero >/session/more 2>/dev/null || true"
FREE_DISK = "rm --force /session/ballast /session/more"

NOTED_BY_ARBITER = f"""\
getfattr --absolute-names --dump --encoding=hex --match=trusted.afr {ARBITER_FOLDER}/trusted.afr.* 2>/dev/null \
    | grep '=0x0*[1-9a-f]' || true"""
"""What is not zero in the arbiter's note: which brick is outdated. Nothing where there is no arbiter."""

SESSION_SERVICE_TELLS = f"PYTHONPATH=/usr/lib/php-cluster python3 -m session_service.ask {SOCKET}"
"""What a PHP node's session service knows, as JSON."""


def gluster_ports(cluster: Cluster, machine: str) -> list[int]:
    """The TCP ports at which Gluster's processes listen there."""
    listening = cluster.ssh(machine, "ss --no-header --listening --numeric --tcp --processes").splitlines()
    return [int(line.split()[3].rsplit(":", 1)[1]) for line in listening if "gluster" in line]


@contextlib.contextmanager
def another_network(cluster: Cluster, *hosts: int) -> Iterator[tuple[str, ...]]:
    """One more machine on the cluster's own switch, by the last numbers of its addresses: what runs a command there."""
    network = cluster.outputs()["floatingIp"].rpartition(".")[0]
    space, link = f"stranger-{cluster.lab}", f"vs-{cluster.lab}"
    setup = f"""
        ip netns add {space}
        ip link add {link} type veth peer name eth0 netns {space}
        ip link set {link} master pc-{cluster.lab} up
        for host in {" ".join(map(str, hosts))}; do ip -n {space} address add {network}.$host/24 dev eth0; done
        ip -n {space} link set eth0 up
    """
    try:
        done = cluster.run("bash", "-ec", setup)
        assert done.returncode == 0, done.stderr
        yield "ip", "netns", "exec", space
    finally:
        cluster.run("ip", "netns", "delete", space)
        cluster.run("ip", "link", "delete", link)


@contextlib.contextmanager
def stranger(cluster: Cluster, host: int) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Such a machine with one address; runs commands there."""
    with another_network(cluster, host) as there:

        def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
            return cluster.run(*there, *command, stdin=stdin)

        yield run


def _nspawn_machines() -> set[str]:
    found: set[str] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if arguments[0].endswith("systemd-nspawn"):
            found.update(word.removeprefix("--machine=") for word in arguments if word.startswith("--machine="))
    return found


def leftovers(lab: str) -> list[str]:
    """What on this box still carries a lab's name: links, mounts, loop devices, tables, cgroups, processes, files."""
    sources = {
        "link": ["ip", "-brief", "link"],
        "mount": ["cat", "/proc/self/mountinfo"],
        "loop device": ["losetup", "--list", "--noheadings"],
        "nft table": ["nft", "list", "tables"],
        "cgroup": ["find", "/sys/fs/cgroup", "-type", "d", "-name", f"*{lab}*"],
        "file": ["find", "/var/lib/php-cluster", "/run/systemd/nspawn", "-name", f"*{lab}*"],
    }
    found = []
    for kind, command in sources.items():
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        found += [f"{kind}: {line}" for line in lines if lab in line]
    found += [f"process: {name}" for name in _nspawn_machines() if lab in name]
    return found


def nothing_is_left(*labs: str) -> None:
    """Waits until that is so: a machine of another cluster that boots has these labs' mounts for a moment."""

    def is_gone() -> bool:
        left = [each for lab in labs for each in leftovers(lab)]
        assert left == [], left
        return True

    wait_for("nothing of it is left", is_gone, 60)


@contextlib.contextmanager
def standing(stack: Cluster, session: pytest.Session) -> Iterator[Cluster]:
    """The stack, up as long as the block lasts; journals stay when a test has failed, and nothing else is left."""
    try:
        stack.up()
        yield stack
    finally:
        if session.testsfailed:
            stack.save_journals()
        stack.remove()
    nothing_is_left(stack.lab)
