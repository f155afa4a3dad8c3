"""The machines of a stack: looked at, marked as its own, and given back when they leave."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_random as random
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.debian import Release
from components.plan.settings import PROJECT_FOLDER, Settings
from components.plan.topology import PlannedMachine, Role, Topology
from components.steps.drift import Drift
from components.steps.machine import Machine
from components.steps.remote import with_scripts
from components.substrates.existing.facts import ask_all, unreachable
from components.substrates.existing.judgement import Judge
from components.substrates.existing.settings import KEY, ExistingSettings

MACHINE_SCRIPT = "scripts/existing/machine"
"""Relative to the project, where the engine runs commands."""

OWNER = "owner"
"""Name of the random value by which machines know their stack."""


class ExistingMachine(pulumi.ComponentResource):
    """One machine that has the stack's mark.

    Attributes:
        machine: What the cluster needs to know of it.
        claimed: What marks it, and has it leave.
    """

    machine: Machine
    claimed: pulumi.Resource

    def __init__(
        self,
        planned: PlannedMachine,
        settings: ExistingSettings,
        *,
        private_key: pulumi.Output[str],
        owner: pulumi.Output[str],
        drift: Drift,
        depends_on: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("php-cluster:existing:ExistingMachine", planned.name, None, opts)
        host_key, bastion = settings.by_name[planned.name].host_key, settings.bastion
        step = f"{planned.name}-machine"
        lost = drift.gone_reason(step, planned.name)
        through = f"{bastion.user}@{bastion.host}" if bastion else ""
        claimed = command.local.Command(
            step,
            create=f"{MACHINE_SCRIPT} up",
            update=f"{MACHINE_SCRIPT} up",
            delete=f"{MACHINE_SCRIPT} down",
            stdin=private_key,
            environment={
                "NAME": planned.name,
                "ADDRESS": planned.address,
                "LOGIN": settings.user,
                "HOST_KEY": host_key,
                "BASTION": through,
                "BASTION_HOST_KEY": bastion.host_key if bastion else "",
                "OWNER": owner,
                "STACK": pulumi.get_stack(),
                "DELETE_SESSIONS": "yes" if settings.delete_sessions else "no",
                # What it leaves there is an input: a machine must know how to leave as it was set up.
                "LEAVE_VERSION": _leave_version(),
            },
            # Another address or host key is another machine, and so is one that has lost what it was given.
            triggers=[planned.address, host_key, *([lost] if lost else [])],
            add_previous_output_in_env=False,
            # One that is replaced must not go on as the same member beside its successor.
            opts=pulumi.ResourceOptions(parent=self, depends_on=depends_on, delete_before_replace=True),
        )
        self.claimed = claimed
        self.machine = with_scripts(
            Machine(
                name=planned.name,
                role=planned.role,
                identity=claimed.id,
                address=planned.address,
                interface=None,
                brick_source=settings.brick,
                connection=_connection(settings, planned.name, private_key),
                user=settings.user,
                ssh_command=f"scripts/ssh --stack {pulumi.get_stack()} {planned.name}",
                resource=claimed,
                drift=drift,
                through=through,
            ),
            self,
        )
        self.register_outputs({"address": planned.address})


def _connection(
    existing: ExistingSettings, name: str, private_key: pulumi.Output[str]
) -> command.remote.ConnectionArgs:
    machine, bastion = existing.by_name[name], existing.bastion
    return command.remote.ConnectionArgs(
        host=machine.address,
        user=existing.user,
        private_key=private_key,
        host_key=machine.host_key,
        proxy=command.remote.ProxyConnectionArgs(
            host=bastion.host, user=bastion.user, private_key=private_key, host_key=bastion.host_key
        )
        if bastion
        else None,
    )


class ExistingSubstrate(pulumi.ComponentResource):
    """All machines of a stack, with the word by which they know it."""

    machines: dict[str, Machine]

    def __init__(
        self,
        existing: ExistingSettings,
        plan: Topology,
        private_key: str,
        releases: Mapping[str, Release],
        drift: Drift,
    ) -> None:
        super().__init__("php-cluster:existing:ExistingSubstrate", "existing", None)
        child = pulumi.ResourceOptions(parent=self)
        login = pulumi.Output.secret(private_key)
        owner = pulumi.Output.unsecret(random.RandomPassword(OWNER, length=16, special=False, opts=child).result)
        made: dict[str, ExistingMachine] = {}
        for planned in plan.machines:
            serves = planned.role is Role.PHP
            made[planned.name] = ExistingMachine(
                planned,
                existing,
                private_key=login,
                owner=owner,
                drift=drift,
                # When all leave, the PHP nodes leave before the bricks that they write to.
                depends_on=[made[balancer.name].claimed for balancer in plan.balancers] if serves else [],
                opts=child,
            )
        self.machines = {name: replace(one.machine, release=releases.get(name)) for name, one in made.items()}
        known_hosts = [f"{one.address} {one.host_key}" for one in existing.by_name.values()]
        if existing.bastion:
            known_hosts.append(f"{existing.bastion.host} {existing.bastion.host_key}")
        pulumi.export("sshPrivateKey", login)
        pulumi.export("knownHosts", "\n".join(known_hosts))
        self.register_outputs({"network": str(plan.network)})


def _leave_version() -> str:
    return hashlib.sha256((PROJECT_FOLDER / "scripts" / "existing" / "leave").read_bytes()).hexdigest()[:12]


def create(settings: Settings, existing: ExistingSettings, plan: Topology, drift: Drift) -> Mapping[str, Machine]:
    """Looks at the machines of a plan, and makes them the stack's.

    Raises:
        ConfigError: some are not fit; the text names every failure of each of them.
    """
    private_key = login_key(existing, drift)
    releases = check(settings, existing, plan, private_key, drift) if private_key else {}
    return ExistingSubstrate(existing, plan, private_key, releases, drift).machines


def login_key(existing: ExistingSettings, drift: Drift) -> str:
    """The key that logs in, as OpenSSH wants it; in a preview without its file, that of the last update, or none."""
    key, name = existing.private_key, f"{NAMESPACE}:{KEY}.privateKey"
    if existing.private_key_file:
        name, path = f"{name}File", Path(existing.private_key_file).expanduser()
        try:
            key = (PROJECT_FOLDER / path).read_text()
        except (OSError, UnicodeDecodeError) as problem:
            if not pulumi.runtime.is_dry_run():
                raise ConfigError(f"{name} is {existing.private_key_file}\n    It cannot be read: {problem}") from None
            pulumi.log.warn(f"the machines are not looked at: {name}, {existing.private_key_file}, is not here")
            last = next(iter(drift.last.connections.values()), {})
            return str(last.get("privateKey", ""))
    key = key.rstrip() + "\n"
    load = load_ssh_private_key if "OPENSSH" in key else load_pem_private_key
    try:
        load(key.encode(), password=None)
    except (ValueError, TypeError) as problem:
        raise ConfigError(
            f"{name} must be an SSH private key without a passphrase: {problem}\n"
            f"    Make one for this: ssh-keygen -t ed25519 -N '' -f cluster-key"
        ) from None
    return key


def check(
    settings: Settings, existing: ExistingSettings, plan: Topology, private_key: str, drift: Drift
) -> Mapping[str, Release]:
    """Looks at all machines, and returns what those run that answer. One that has lost the stack's mark is another
    machine, and gets everything again.

    Raises:
        ConfigError: some are not fit.
    """
    by_name = existing.by_name
    known = frozenset(
        name
        for name, last in drift.last.connections.items()
        if name in by_name and (last["host"], last["hostKey"]) == (by_name[name].address, by_name[name].host_key)
    )
    claimed = {name: drift.last.environment(f"{name}-machine") for name in drift.last.machines_with("machine")}
    replaced = frozenset(
        name
        for name, machine in by_name.items()
        if name in claimed
        and (claimed[name]["ADDRESS"], claimed[name]["HOST_KEY"]) != (machine.address, machine.host_key)
    )
    belonged = {last["ADDRESS"]: name for name, last in claimed.items()}
    owner = drift.last.result(OWNER)
    found = ask_all(settings, existing, plan, private_key, known)
    judge = Judge(settings, existing, plan, found, owner, known, replaced, belonged)
    failures = judge.judge(must_answer=not pulumi.runtime.is_dry_run())
    if failures:
        count = f"{len(failures)} things are" if len(failures) > 1 else "1 thing is"
        raise ConfigError(f"{count} in the way on your machines; nothing was changed.\n\n" + "\n\n".join(failures))
    for warning in judge.warnings:
        pulumi.log.warn(warning)
    if silent := unreachable(found):
        pulumi.log.warn(f"{', '.join(silent)} cannot be reached from here: what they are like is not checked")
    for name in known & found.keys():
        if not found[name].failure and not found[name].owner:
            drift.lose(name)
    running = {name: judge.release(name) for name, facts in found.items() if not facts.failure}
    others = [name for name, release in running.items() if settings.debian and release != settings.debian]
    if settings.debian and others:
        pulumi.log.warn(
            f"{', '.join(others)} run another release than Debian {settings.debian.number}, which is set: "
            "scripts/upgrade brings them to it"
        )
    return running
