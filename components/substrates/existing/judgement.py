"""What is wrong with the machines: a sentence for each failure, with the machine, the config key and what to do."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.plan.config_values import NAMESPACE
from components.plan.debian import HTTP3_RULE, RELEASES, Release
from components.plan.own_updates import clashes, windows_in
from components.plan.settings import Settings
from components.plan.topology import PlannedMachine, Role, Topology
from components.substrates.clocks import furthest_apart
from components.substrates.existing.facts import Facts
from components.substrates.existing.settings import KEY, ExistingSettings

ARCHITECTURES = ("amd64", "arm64")

LEAST_FREE_MIB = 256
PACKAGES_MIB = 1024
"""What the packages of any role take, with their downloads."""

MOST_SKEW_SECONDS = 1.0
"""Sessions expire by one machine's clock and are written by another's (docs/decisions/14); what NTP keeps differs by
milliseconds. An answer takes time: less than this may not be told for sure."""

MIB_IN_GIB = 1024


@dataclass
class Judge:
    """Judges all machines and collects what is wrong instead of stopping at the first.

    Attributes:
        settings: The user's.
        existing: Those of this substrate.
        plan: What each machine is to be.
        found: What each machine said.
        owner: The word of this stack; empty before it has one.
        known: The machines that an earlier update has reached.
        replaced: The names that another machine had in the last update.
        belonged: Address to the name that its machine had in the last update.
    """

    settings: Settings
    existing: ExistingSettings
    plan: Topology
    found: Mapping[str, Facts]
    owner: str
    known: frozenset[str]
    replaced: frozenset[str] = frozenset()
    belonged: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.failures: list[str] = []
        self.warnings: list[str] = []

    def is_ours(self, name: str) -> bool:
        """Whether a machine has this stack's mark, or has lost nothing but the mark: leaving would have taken more."""
        facts = self.found[name]
        lost_mark = not facts.owner and name in self.known and facts.one("leave") == "yes"
        return lost_mark or (bool(self.owner) and facts.owner == self.owner)

    def refuse(self, name: str, what: str, key: str, remedy: str) -> None:
        """Notes a failure of a machine."""
        address = self.existing.by_name[name].address
        key = key or self.existing.key_of(name)
        self.failures.append(f"{name} ({address}): {what}\n    {key}: {remedy}")

    def judge(self, *, must_answer: bool) -> list[str]:
        """Everything that is wrong.

        Args:
            must_answer: Whether a machine that does not answer is a failure. One that an earlier update has reached is
                none: a cluster with a dead machine must be able to change.
        """
        answering = []
        for planned in self.plan.machines:
            facts = self.found[planned.name]
            if facts.failure == "unreachable":
                if must_answer and planned.name not in self.known:
                    self._no_answer(planned.name, facts)
            elif facts.failure:
                self._no_answer(planned.name, facts)
            else:
                answering.append(planned)
        for planned in answering:
            self._system(planned)
            if self._belongs(planned) and not self.is_ours(planned.name):
                self._room(planned)
                self._nothing_foreign(planned)
        self._one_pool(answering)
        for planned in self.plan.machines:
            self._changes_its_name(planned)
        for planned in answering:
            self._network(planned)
        self._floating_ip("floatingIp", self.plan.floating_ip, answering, "floating_ip", "address")
        if self.plan.floating_ip6:
            self._floating_ip("floatingIp6", self.plan.floating_ip6, answering, "floating_ip6", "address6")
            self._in_its_network(self.plan.floating_ip6, answering)
        self._clocks(answering)
        self._kept_sessions(answering)
        self._own_updates(answering)
        return self.failures

    def _own_updates(self, answering: Sequence[PlannedMachine]) -> None:
        """No two machines of which sessions need one install updates by themselves in one window.

        A cluster in which they do must be able to change: that is a warning.
        """
        windows = {
            one.name: windows_in([*self.found[one.name].all("own_updates"), *self.found[one.name].all("own_reboot")])
            for one in answering
        }
        for name, clash in clashes(windows).items():
            when = windows[name][0]
            what = f"unattended-upgrades may restart what runs on it in one window with {clash.other}, {when}"
            how = f"as root on {name}: {clash.remedy}"
            if self.is_ours(name) and self.is_ours(clash.other):
                self.warnings.append(f"{name}: {what}. Sessions are refused then; {how}")
            else:
                self.refuse(name, what, "", f"let it have an hour of its own; {how}")

    def _no_answer(self, name: str, facts: Facts) -> None:
        key, said = f"{NAMESPACE}:{KEY}", facts.words.splitlines()[-1] if facts.words else "no answer"
        own, user = self.existing.key_of(name), self.existing.user
        address = self.existing.by_name[name].address
        match facts.failure:
            case "unreachable":
                ways = [f"{own}.address", *([f"{key}.bastion"] if self.existing.bastion else [])]
                self.refuse(name, f"it cannot be reached: {said}", " or ".join(ways), "must be right, and SSH open.")
            case "host key":
                self.refuse(
                    name,
                    "its SSH host key is another one than the pinned one",
                    f"{own}.hostKey",
                    f"if that is no attack, it must be what `ssh-keyscan -t ed25519 {address}` says.",
                )
            case "bastion host key":
                self.refuse(
                    name, "the bastion's SSH host key is another one", f"{key}.bastion.hostKey", "must be right."
                )
            case "login":
                self.refuse(
                    name,
                    f"{user} may not log in",
                    f"{key}.user, {key}.privateKey",
                    f"the public half of the key must be in {user}'s ~/.ssh/authorized_keys.",
                )
            case "sudo":
                self.refuse(
                    name,
                    f"{user} may not use sudo without a password: {said}",
                    f"{key}.user",
                    f"install sudo and put `{user} ALL=(ALL) NOPASSWD: ALL` into /etc/sudoers.d/{user}.",
                )
            case _:
                self.refuse(name, f"it did not say what it is like: {said}", own, "log in and see what is wrong.")

    def release(self, name: str) -> Release:
        """What a machine runs that was found to be fit."""
        return RELEASES[int(self.found[name].one("system").split(" ")[1])]

    def _one_pool(self, answering: Sequence[PlannedMachine]) -> None:
        """Brick hosts may run different releases, but not meet in any order: GlusterFS 11 gets no volume from a peer
        with 10 that has one, and takes in no peer with 10."""
        hosts = [planned.name for planned in answering if planned.has_brick and self._runs_release(planned.name)]
        if len(hosts) < len(self.plan.balancers) or self.release(hosts[0]) == self.release(hosts[1]):
            return
        first, second = hosts
        numbers = {name: self.release(name).number for name in hosts}
        ours = [name for name in hosts if self.is_ours(name)]
        if len(ours) == 1:
            [old], [new] = ours, set(hosts) - set(ours)
            what = f"it runs Debian {numbers[new]}, and {old} Debian {numbers[old]}"
            self.refuse(new, what, "", f"must be a machine with Debian {numbers[old]}.")
        elif not ours and numbers[first] > numbers[second] and not self.found[first].one("brick_kept"):
            what = f"it runs Debian {numbers[first]}, and {second} Debian {numbers[second]}"
            self.refuse(first, what, "", f"exchange them: the older release must be that of {first}.")

    def _runs_release(self, name: str) -> bool:
        identifier, version, *_ = self.found[name].one("system").split(" ")
        return identifier == "debian" and version in map(str, RELEASES)

    def _system(self, planned: PlannedMachine) -> None:
        name, facts = planned.name, self.found[planned.name]
        identifier, _, *pretty = facts.one("system").split(" ", 2)
        if not self._runs_release(name):
            called, supported = " ".join(pretty) or identifier, " or ".join(map(str, RELEASES))
            self.refuse(name, f"it runs {called}", "", f"must be a machine with Debian {supported}.")
        elif self.settings.http3 and planned.role is Role.LOAD_BALANCER and not self.release(name).quic:
            self.refuse(name, f"it runs Debian {self.release(name).number}", f"{NAMESPACE}:http3", HTTP3_RULE)
        if facts.one("architecture") not in ARCHITECTURES:
            self.refuse(
                name,
                f"its architecture is {facts.one('architecture')}",
                "",
                f"must be a machine of {' or '.join(ARCHITECTURES)}.",
            )
        if facts.one("init") != "systemd":
            self.refuse(name, "systemd is not its first process", "", "must be a machine with systemd.")
        if facts.one("fuse") == "no":
            self.refuse(
                name,
                "it has no FUSE, so that no volume can be mounted",
                "",
                "load the module (modprobe fuse); in a container, give it the device /dev/fuse.",
            )

    def _belongs(self, planned: PlannedMachine) -> bool:
        """Whether no other stack has the machine."""
        facts = self.found[planned.name]
        if not facts.owner or self.is_ours(planned.name):
            return True
        stack = facts.one("owner").partition(" ")[2] or "?"
        self.refuse(
            planned.name,
            f"it belongs to the stack {stack}",
            "",
            f"destroy {stack} first; if its state is lost, run /usr/lib/php-cluster/leave on the machine.",
        )
        return False

    def _changes_its_name(self, planned: PlannedMachine) -> None:
        """A machine that becomes another one would be unconfigured at the end of the update, as the one that it was."""
        was = self.belonged.get(planned.address, planned.name)
        if was != planned.name:
            self.refuse(
                planned.name,
                f"it is {was} of this stack",
                "",
                f"let it leave first (`pulumi up` without it), then name it as {planned.name}.",
            )

    def _room(self, planned: PlannedMachine) -> None:
        name, facts = planned.name, self.found[planned.name]
        missing = int(facts.one("packages_missing") or 0)
        needed, free = (PACKAGES_MIB if missing else LEAST_FREE_MIB), int(facts.one("free_mib") or 0)
        if free < needed:
            self.refuse(name, f"its root disk has {free} MiB free, {needed} are needed", "", "make room there.")
        for what in facts.all("packages"):
            self.refuse(
                name,
                f"its packages are {what}",
                "",
                f"{missing} must be installed: see to its /etc/apt/sources.list, its name server and its way out.",
            )
        if planned.has_brick:
            self._brick(name, facts)

    def _brick(self, name: str, facts: Facts) -> None:
        path, key = self.existing.brick, f"{NAMESPACE}:{KEY}.brick"
        needed = self.settings.brick_gib * MIB_IN_GIB
        kind, *more = facts.one("brick").split(" ")
        if kind == "missing":
            self.refuse(name, f"there is no {path}", key, "an empty disk or a folder on a file system of its own.")
        elif kind == "on_root":
            self.refuse(
                name,
                f"{path} is on the root disk, where sessions could leave no room for anything else",
                key,
                "mount a disk or a volume there, or name an empty disk.",
            )
        elif kind in ("folder", "disk"):
            # A brick that is taken over has had its room.
            if int(more[0]) < needed * 0.95 and not facts.one("brick_kept"):
                room = "is large" if kind == "disk" else "are free"
                self.refuse(
                    name, f"{path}: {more[0]} MiB {room}, {needed} are needed", key, "a larger one, or less brickGiB."
                )
            if kind == "disk" and more[1] not in ("empty", "xfs"):
                self.refuse(
                    name, f"{path} is not empty, but {more[1]}", key, f"if nothing on it matters: wipefs --all {path}"
                )
        for what in facts.all("brick_foreign"):
            self.refuse(name, f"{path} is in use: {what}", key, "must be an empty disk; nothing was changed on it.")

    def _nothing_foreign(self, planned: PlannedMachine) -> None:
        name, facts = planned.name, self.found[planned.name]
        for what in facts.all("listens"):
            port, _, program = what.partition(" ")
            self.refuse(
                name, f"{program} listens on port {port}, which the cluster needs", "", f"stop and disable {program}."
            )
        for what in facts.all("runs"):
            self.refuse(name, f"{what} runs already", "", f"stop {what}, and move its configuration away.")
        for what in facts.all("foreign"):
            self.refuse(name, f"{what} is somebody else's", "", f"move {what} away, if nobody needs it there.")

    def _network(self, planned: PlannedMachine) -> None:
        name, facts = planned.name, self.found[planned.name]
        interfaces = dict(value.split(" ", 1) for value in facts.all("address"))
        addresses = {cidr.partition("/")[0]: cidr for cidr in interfaces}
        if planned.address not in addresses:
            self.refuse(
                name,
                f"{planned.address} is not its own address, those are {', '.join(addresses)}",
                f"{self.existing.key_of(name)}.address",
                "one of those, by which the other machines reach it.",
            )
        elif planned.role is Role.LOAD_BALANCER:
            network = ipaddress.IPv4Interface(addresses[planned.address]).network
            if network != self.plan.network:
                self.refuse(
                    name,
                    f"it is in the network {network}",
                    f"{NAMESPACE}:network, {NAMESPACE}:floatingIp",
                    f"must be {network} and a free address of it, not {self.plan.network}.",
                )
        for other in self.plan.machines:
            if other is not planned and other.address in addresses:
                self.refuse(
                    name,
                    f"it is the same machine as {other.name} ({other.address})",
                    self.existing.key_of(name),
                    f"must be another machine than {self.existing.key_of(other.name)}.",
                )
        cut_off = [value.split(" ") for value in facts.all("cut_off")]
        for target in dict.fromkeys(other for other, _ in cut_off):
            # Of a machine that is ours, the cluster's own packet filter decides.
            if not self.found[target].failure and not self.is_ours(target):
                ports = ", ".join(port for other, port in cut_off if other == target)
                self.refuse(
                    name,
                    f"its packets do not get to {target}, port {ports}",
                    f"{self.existing.key_of(target)}",
                    f"a firewall on {target} or between them must let them pass (docs/existing.md lists the ports).",
                )

    def _floating_ip(
        self, key: str, address: str | None, answering: list[PlannedMachine], fact: str, addresses: str
    ) -> None:
        """Nobody but the stack's balancers has the address, as the facts of these names say."""
        key = f"{NAMESPACE}:{key}"
        holders = [
            one.name
            for one in answering
            if any(cidr.startswith(f"{address}/") for cidr in self.found[one.name].all(addresses))
        ]
        balancers = [one.name for one in answering if one.role is Role.LOAD_BALANCER]
        for name in holders:
            if not (name in balancers and self.is_ours(name)):
                self.refuse(name, f"it has {address} itself", key, "a free address: the balancers take and give it.")
        # One of ours may have it that does not answer now, or one that this update has leave.
        unseen = [
            one.name
            for one in self.plan.balancers
            if one.name in self.replaced or (self.found[one.name].failure and one.name in self.known)
        ]
        for name in balancers:
            taken = self.found[name].one(fact)
            if taken.startswith("taken") and not holders and not unseen:
                self.refuse(
                    name, f"somebody else has {address}, at {taken.split(' ')[1]}", key, "an address that nobody has."
                )

    def _in_its_network(self, address: str, answering: list[PlannedMachine]) -> None:
        """Each balancer reaches the IPv6 address at the interface where keepalived puts it, without a router."""
        for name in (one.name for one in answering if one.role is Role.LOAD_BALANCER):
            facts = self.found[name]
            interfaces = dict(value.split(" ", 1) for value in facts.all("address"))
            own = f"{self.existing.by_name[name].address}/"
            interface = next((where for cidr, where in interfaces.items() if cidr.startswith(own)), None)
            if interface and facts.one("floating_ip6") != "here" and facts.one("floating_ip6_link") != interface:
                there = [value.split(" ")[0] for value in facts.all("address6") if value.endswith(f" {interface}")]
                self.refuse(
                    name,
                    f"{address} is in no network of {interface}, whose IPv6 addresses are {', '.join(there) or 'none'}",
                    f"{NAMESPACE}:floatingIp6",
                    "a free address of an IPv6 network that both balancers are in.",
                )

    def _clocks(self, answering: list[PlannedMachine]) -> None:
        clocks = {one.name: clock for one in answering if (clock := self.found[one.name].clock)}
        apart = furthest_apart(clocks)
        if apart and apart.seconds > MOST_SKEW_SECONDS:
            self.refuse(
                apart.behind,
                f"its clock is {apart.seconds:.1f} s behind that of {apart.ahead}",
                "",
                "let all machines keep the time: apt install systemd-timesyncd, or chrony.",
            )

    def _other_tls(self, name: str) -> bool:
        """Whether the volume that an earlier stack left differs in `glusterTls`."""
        return (self.found[name].one("brick_kept_tls") == "yes") is not self.settings.gluster_tls

    def _kept_sessions(self, answering: list[PlannedMachine]) -> None:
        """What an earlier stack left is taken over whole or not at all."""
        hosts = [one.name for one in self.plan.balancers if one in answering]
        if len(hosts) < len(self.plan.balancers):
            return
        lives = [name for name in hosts if self.is_ours(name)]
        kept = {name: self.found[name].one("brick_kept").split(" ") for name in hosts if name not in lives}
        key, path = f"{NAMESPACE}:{KEY}.brick", self.existing.brick
        remove = f"to begin without them, remove `brick` and `kept` from {path} (docs/existing.md)."
        volumes = {one[1] for one in kept.values() if len(one) == 2}
        for name, one in kept.items():
            if len(one) == 2 and lives and name in self.replaced:
                # What a machine that left alone has missed, the others know; not so when its successor got all that.
                self.refuse(name, f"{path} has old sessions, and the cluster has gone on without it", key, remove)
            elif len(one) == 2 and one[0] != name:
                self.refuse(
                    name,
                    f"{path} has the sessions that {one[0]} left",
                    f"{NAMESPACE}:{KEY}",
                    f"name this machine as {one[0]} to go on with them; {remove}",
                )
            elif len(one) != 2 and volumes:
                self.refuse(
                    name,
                    f"{path} has no sessions of an earlier stack, while other machines have",
                    key,
                    f"use the machines, or the disks, that they were left on; {remove}",
                )
            elif len(volumes) > 1:
                self.refuse(name, f"{path} has sessions of another volume than the other machines", key, remove)
            elif len(one) == 2 and self._other_tls(name):
                made = not self.settings.gluster_tls
                self.refuse(
                    name,
                    f"{path} has sessions of a volume {'with' if made else 'without'} TLS on its connections",
                    f"{NAMESPACE}:glusterTls",
                    f"set it to {str(made).lower()} to go on with them; {remove}",
                )
            elif not lives and (brick := self.found[name].one("brick_unknown")):
                self.refuse(
                    name,
                    f"there is {brick}, of which nothing is known",
                    key,
                    f"if nothing in it matters, remove {brick}.",
                )
