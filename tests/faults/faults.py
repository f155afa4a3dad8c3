"""The faults, each with its way to put things right again: the one list of them.

A fault is a context manager: what comes before its `yield` breaks something; what comes after it is what the world
does, or an operator: the cable is back, the power returns, the process goes on. What the cluster mends by itself is
left to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter, methodcaller

from components.plan.topology import VOLUME
from tests.faults import hostile
from tests.faults.redis_rig import SETTINGS, RedisRig
from tests.faults.rig import Rig
from tests.stack.cluster import FILL_DISK, FREE_DISK, another_network

SAFE = ("safe", "log")
GLUSTER = ("article", *SAFE)
REDIS = tuple(SETTINGS)
PROFILES = (*GLUSTER, *REDIS)
"""What is put to the test: the program's profiles, `safe` with the log of sessions too, and Redis with a replica and
Sentinel in place of the volume."""

Broken = Callable[[Rig], AbstractContextManager[None]]

Pick = Callable[[Rig], str]
"""Which machine is meant, said when it comes to it: the active balancer is now one, now the other."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: For the command line and the report.
        broken: Breaks it on entry, puts it right on exit.
        seconds: How long it stays broken.
        stops_service: More than one machine is away at once: nobody need be served, but nothing may be lost.
        hits_clients: Packets of clients are lost too, and some wait too long whatever the cluster does: of 400
            connections one loses its first packet twice, and is made after 3 s.
        by_clients: Nothing is broken, but some clients do harm: others are served nearly as fast as before, by the same
            balancer.
        profiles: Those in which there is something to break.
        alert: The one that `safe` must raise, and clear; empty: nobody need be woken, and docs/faults.md says why.
    """

    name: str
    broken: Broken
    seconds: float
    stops_service: bool = False
    hits_clients: bool = False
    by_clients: bool = False
    profiles: tuple[str, ...] = PROFILES
    alert: str = ""


def _named(name: str) -> Pick:
    return lambda _: name


ACTIVE: Pick = attrgetter("active")
SPARE: Pick = attrgetter("spare")
WRITER: Pick = methodcaller("writer")
PHP1, PHP2, EVERYONE = _named("php1"), _named("php2"), _named("all")

MACHINES: dict[str, Pick] = {"active": ACTIVE, "spare": SPARE, "php1": PHP1, "php2": PHP2}
"""Every machine is one of a kind: php1 has the arbiter."""

# The commands of processes, as pgrep looks for them.
BRICK, CLIENT = "^/usr/sbin/glusterfsd ", "^/usr/sbin/glusterfs .*--process-name fuse "
HAPROXY, KEEPALIVED = "^/usr/sbin/haproxy ", "^/usr/sbin/keepalived "
ARBITER = "^/usr/sbin/glusterfsd .*/arbiter.vol "
SERVICE = "^/usr/lib/php-cluster/session-service"
REDIS_SERVER = "^/usr/bin/redis-server "

ONE_MORE = "OneMoreFailureStopsService"

PROCESSES = {
    "brick": (BRICK, ACTIVE, GLUSTER),
    "haproxy": (HAPROXY, ACTIVE, PROFILES),
    "keepalived": (KEEPALIVED, ACTIVE, PROFILES),
    "client": (CLIENT, PHP2, GLUSTER),
    "redis": (REDIS_SERVER, ACTIVE, REDIS),
}
"""Name to command, machine and profiles. The active balancer's Redis is the master."""

STOPPED = {"brick": ONE_MORE, "haproxy": ONE_MORE, "keepalived": "FloatingIpHeldTwice"}
"""Name to the alert that it must raise while it does nothing. A node ends a client that hangs, and mounts anew."""


def _by_lab(verb: str, pick: Pick) -> Broken:
    """A machine mistreated by a script of the lab, and restored by another."""

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        machine = pick(rig)
        rig.lab(verb, machine)
        try:
            yield
        finally:
            rig.lab("restore", machine)

    return broken


def _dropping(*ways: tuple[Pick, Pick], percent: int = 100) -> Broken:
    """Packets get lost on the ways from one machine to another."""

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        named = [(source(rig), target(rig)) for source, target in ways]
        try:
            for source, target in named:
                rig.lab("drop", source, target, str(percent))
            yield
        finally:
            for machine in {machine for way in named for machine in way} - {"all"}:
                rig.lab("restore", machine)

    return broken


def _stopped(process: str, pick: Pick) -> Broken:
    """Processes that stop where they are, and go on later."""

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        machine = pick(rig)
        ids = " ".join(rig.inside(machine, f"pgrep --full '{process}'").split())
        rig.inside(machine, f"kill -STOP {ids}")
        try:
            yield
        finally:
            # Some may have been replaced meanwhile.
            rig.inside(machine, f"kill -CONT {ids} || true")

    return broken


def _killed(process: str, pick: Pick) -> Broken:
    """Processes that end without a word."""

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        machine = pick(rig)
        rig.inside(machine, f"kill -KILL $(pgrep --full '{process}')")
        yield
        if process == BRICK:
            # As the manual has it: a brick that has died is started by `volume start … force`, no earlier.
            rig.inside(machine, f"gluster --mode=script volume start {VOLUME} force")

    return broken


@contextmanager
def _full_brick(rig: Rig) -> Iterator[None]:
    machine = rig.active
    rig.inside(machine, FILL_DISK)
    try:
        yield
    finally:
        rig.inside(machine, FREE_DISK)


def _reboot(pick: Pick) -> Broken:
    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        rig.inside(pick(rig), "systemctl --no-block reboot")
        yield

    return broken


def _upgrade(*picks: Pick) -> Broken:
    """Gluster's packages upgraded, on several hosts without a pause for what has to be healed in between."""

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        for machine in [pick(rig) for pick in picks]:
            # What dpkg runs when it has unpacked a new version over an old one.
            rig.inside(machine, "/var/lib/dpkg/info/glusterfs-server.postinst configure 10.3-4 2>&1")
        yield

    return broken


def _restarted(service: str, pick: Pick) -> Broken:
    """What an operator does after an upgrade for what no package starts anew."""

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        rig.inside(pick(rig), f"systemctl restart {service}")
        yield

    return broken


@contextmanager
def _bricks_restarted(rig: Rig) -> Iterator[None]:
    """Each brick in turn, without a pause for what has to be healed in between."""
    for machine in (rig.active, rig.spare) * 3:
        rig.inside(machine, f"kill -KILL $(pgrep --full '{BRICK}')")
        rig.inside(machine, f"gluster --mode=script volume start {VOLUME} force")
    yield


@contextmanager
def _no_power_at_all(rig: Rig) -> Iterator[None]:
    for machine in rig.machines:
        rig.lab("power-off", machine)
    try:
        yield
    finally:
        for machine in rig.machines:
            rig.lab("restore", machine)


@contextmanager
def _switch(rig: Rig) -> Iterator[None]:
    machine = rig.active
    rig.inside(machine, "systemctl stop keepalived")
    try:
        yield
    finally:
        rig.inside(machine, "systemctl start keepalived")


@contextmanager
def _switch_master(rig: Rig) -> Iterator[None]:
    assert isinstance(rig, RedisRig)
    rig.switch_master()
    yield


@contextmanager
def _options_changed(rig: Rig) -> Iterator[None]:
    """For each change, each mount makes anew what is between itself and the bricks."""
    option = f"gluster --mode=script volume set {VOLUME} performance.client-io-threads"
    change = f"{option} on; sleep 0.5; {option} off; sleep 0.5"
    machine = rig.active
    rig.inside(machine, f"systemd-run --quiet --collect --unit=change-options bash -c 'while true; do {change}; done'")
    try:
        yield
    finally:
        rig.inside(machine, "systemctl stop change-options")
        # Gluster's own value for a replicated volume, as an ordinary option of it; and the last change may not be over.
        rig.inside(machine, f"for _ in {{1..60}}; do {option} off && exit; sleep 0.5; done; exit 1")


def _hostile(kind: str) -> Broken:
    """Clients at other addresses than those who are watched."""
    processes = hostile.IDLE_PROCESSES if kind == "idle-connections" else 1

    @contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        hosts = [int(source.rpartition(".")[2]) for source in hostile.sources(rig.address)]
        program = (sys.executable, "-m", "tests.faults.hostile", kind, rig.address)
        with ExitStack() as stack:
            there = stack.enter_context(another_network(rig.cluster, *hosts))
            at_work = [stack.enter_context(rig.cluster.running(*there, *program)) for _ in range(processes)]
            yield
            for process in at_work:
                assert process.poll() is None, process.communicate()

    return broken


FAULTS: tuple[Fault, ...] = (
    *(Fault(f"power-off-{name}", _by_lab("power-off", pick), 20, alert=ONE_MORE) for name, pick in MACHINES.items()),
    *(Fault(f"cut-{name}-5s", _by_lab("cut", pick), 5) for name, pick in MACHINES.items()),
    *(Fault(f"cut-{name}-60s", _by_lab("cut", pick), 60, alert=ONE_MORE) for name, pick in MACHINES.items()),
    Fault("cut-between-balancers", _dropping((ACTIVE, SPARE), (SPARE, ACTIVE)), 30, alert=ONE_MORE),
    Fault("one-way-from-active", _dropping((ACTIVE, EVERYONE)), 30, alert=ONE_MORE),
    Fault("one-way-to-active", _dropping((EVERYONE, ACTIVE)), 30, alert=ONE_MORE),
    Fault("one-way-from-php2", _dropping((PHP2, EVERYONE)), 30, alert=ONE_MORE),
    Fault("one-way-to-php2", _dropping((EVERYONE, PHP2)), 30, alert=ONE_MORE),
    Fault(
        "packet-loss",
        _dropping(*((EVERYONE, pick) for pick in MACHINES.values()), percent=5),
        30,
        hits_clients=True,
        alert="PacketsLost",
    ),
    *(
        Fault(f"stop-{name}", _stopped(who, pick), 30, profiles=where, alert=STOPPED.get(name, ""))
        for name, (who, pick, where) in PROCESSES.items()
    ),
    *(
        # Others are started again by systemd, a brick by nobody.
        Fault(f"kill-{name}", _killed(who, pick), 15, profiles=where, alert=ONE_MORE if name == "brick" else "")
        for name, (who, pick, where) in PROCESSES.items()
    ),
    Fault("brick-full", _full_brick, 40, profiles=GLUSTER, alert="DiskFills"),
    Fault("brick-fails", _by_lab("fail-disk", ACTIVE), 20, profiles=GLUSTER, alert=ONE_MORE),
    Fault("upgrade-active", _upgrade(ACTIVE), 15, profiles=GLUSTER),
    Fault("upgrade-all", _upgrade(ACTIVE, SPARE), 15, stops_service=True, profiles=GLUSTER),
    Fault("stop-arbiter", _stopped(ARBITER, PHP1), 30, profiles=SAFE, alert=ONE_MORE),
    Fault("kill-arbiter", _killed(ARBITER, PHP1), 15, profiles=SAFE),
    Fault("upgrade-arbiter", _restarted("php-cluster-arbiter", PHP1), 15, profiles=SAFE),
    Fault("restart-bricks", _bricks_restarted, 20, stops_service=True, profiles=SAFE),
    Fault("stop-writer", _stopped(SERVICE, WRITER), 30, profiles=("log",)),
    Fault("kill-writer", _killed(SERVICE, WRITER), 15, profiles=("log",)),
    Fault("upgrade-writer", _restarted("php-cluster-session-log", WRITER), 15, profiles=("log",)),
    Fault("power-off-writer", _by_lab("power-off", WRITER), 20, profiles=("log",)),
    Fault("cut-writer-5s", _by_lab("cut", WRITER), 5, profiles=("log",)),
    Fault("upgrade-redis", _restarted("redis-server", ACTIVE), 15, profiles=REDIS),
    Fault("switch-redis", _switch_master, 15, profiles=REDIS),
    *(Fault(f"reboot-{name}", _reboot(pick), 20) for name, pick in MACHINES.items()),
    Fault("power-off-all", _no_power_at_all, 5, stops_service=True),
    Fault("switch", _switch, 10),
    Fault("change-options", _options_changed, 15, profiles=GLUSTER),
    *(
        Fault(kind, _hostile(kind), 30, by_clients=True, profiles=("safe",), alert="ClientsRefused")
        for kind in hostile.KINDS
    ),
)
"""In the order in which they are tried."""

ALL = tuple(fault.name for fault in FAULTS)

QUICK = ("power-off-active", "cut-active-5s", "cut-php2-5s", "stop-brick", "kill-client", "brick-fails", "switch")
"""For CI: each kind of trouble once, none of them long."""


def named(names: Sequence[str]) -> list[Fault]:
    """The faults of these names.

    Raises:
        ValueError: There is no fault of one of the names; those that there are are named.
    """
    known = {fault.name: fault for fault in FAULTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"there is no fault {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names]
