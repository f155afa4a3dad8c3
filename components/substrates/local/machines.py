"""The machines of a stack on this box, and what they share."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Mapping

import pulumi
import pulumi_command as command

from components.plan.debian import RELEASES, Release
from components.plan.packages import packages_of
from components.plan.settings import PROJECT_FOLDER, Settings
from components.plan.topology import BALANCERS, PlannedMachine, Role, Topology
from components.steps.drift import GONE, OFF, Drift, States
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import with_scripts
from components.substrates.local.identity import checkout_identity, lab_id
from components.substrates.local.settings import Image
from components.substrates.ssh_keys import KeyPair, key_pair

LAB_SCRIPTS = "scripts/lab"
"""Relative to the project, where the engine runs commands: no path of this box gets into a stack's state."""

GRACE_SECONDS = 20
"""How long a machine that leaves may take to shut down before it is ended."""

INTERFACE = "host0"
BRICK_SOURCE = "/data"


FLOATING_IP6_OFFSET = 0x10
"""Of the floating address in the stack's IPv6 network; this box is the first there, and the balancers follow it."""


def _ipv6_inputs(plan: Topology, name: str = "") -> dict[str, str]:
    """What IPv6 adds to the inputs of the network, or of the balancer of this name: only balancers have visitors."""
    if not plan.floating_ip6 or name not in ("", *BALANCERS):
        return {}
    network = ipaddress.IPv6Interface(f"{plan.floating_ip6}/64").network
    inputs = {"GATEWAY6": str(network[1])}
    if name:
        inputs["ADDRESS6"] = str(network[FLOATING_IP6_OFFSET + 1 + BALANCERS.index(name)])
    return inputs


def image_inputs(settings: Settings, plan: Topology, image: Image, debian: Release) -> dict[str, str]:
    """What `scripts/lab/image` makes the image of.

    Beyond Debian's base, a prebuilt one has all that any machine needs, so that one image serves them all.
    """
    packages = {
        package
        for machine in plan.machines
        for package in packages_of(machine, settings.extra_packages, metrics=bool(settings.metrics_from))
    }
    return {
        "SUITE": debian.suite,
        "PACKAGES": " ".join(sorted(packages)) if image is Image.PREBUILT else "",
    }


def first_release(last: LastUpdate) -> Release | None:
    """The release of the resource `image`, which machines had before any was upgraded; None if there is none."""
    if not last.has("image"):
        return None
    suite = last.environment("image").get("SUITE")
    return next((release for release in RELEASES.values() if release.suite == suite), RELEASES[12])


def releases_of(last: LastUpdate) -> dict[str, Release]:
    """What each of the stack's machines runs."""
    first = first_release(last) or RELEASES[12]
    by_trigger = {_trigger(release): release for release in RELEASES.values()}
    return {
        name: next((by_trigger[each] for each in last.triggers(f"{name}-machine") if each in by_trigger), first)
        for name in last.machines_with("machine")
    }


def _trigger(release: Release) -> str:
    """What replaces a machine that is to run another release than that of the resource `image`."""
    return f"Debian {release.number}"


class LocalMachine(pulumi.ComponentResource):
    """One machine, with an SSH host key of its own that is known before the first connection.

    Attributes:
        machine: What the cluster needs to know of it.
        known_host: Its line for a known_hosts file.
    """

    machine: Machine
    known_host: pulumi.Output[str]

    def __init__(
        self,
        planned: PlannedMachine,
        *,
        lab: Mapping[str, str],
        prefix_length: int,
        image: command.local.Command,
        upgraded: str,
        network: pulumi.Resource,
        login: KeyPair,
        brick_gib: int,
        drift: Drift,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("php-cluster:local:LocalMachine", planned.name, None, opts)
        host_key, step = key_pair(f"{planned.name}-host-key", self), f"{planned.name}-machine"
        lost = drift.gone_reason(step, planned.name)
        running = command.local.Command(
            step,
            create=f"{LAB_SCRIPTS}/machine up",
            update=f"{LAB_SCRIPTS}/machine up",
            delete=f"{LAB_SCRIPTS}/machine down",
            stdin=host_key.private,
            environment={
                **lab,
                "NAME": planned.name,
                "ADDRESS": planned.address,
                "PREFIX": str(prefix_length),
                "IMAGE": image.stdout.apply(lambda path: path.strip()),
                "BRICK_GIB": str(brick_gib) if planned.has_brick else "",
                "AUTHORIZED_KEY": login.public,
                # A PHP node stops its services and lets its mount go before it leaves.
                "GRACE_SECONDS": str(GRACE_SECONDS) if planned.role is Role.PHP else "0",
                "REASON": drift.off_reason(step, planned.name),
            },
            # What makes it another machine. Another image of its release does not (docs/decisions/03 and 20).
            triggers=[planned.address, host_key.public, *filter(None, (upgraded, lost))],
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[network], delete_before_replace=True),
        )
        self.known_host = host_key.public.apply(lambda key: f"{planned.address} {key}")
        self.machine = with_scripts(
            Machine(
                name=planned.name,
                role=planned.role,
                identity=running.id,
                address=planned.address,
                interface=INTERFACE,
                brick_source=BRICK_SOURCE,
                connection=command.remote.ConnectionArgs(
                    host=planned.address, user="root", private_key=login.private, host_key=host_key.public
                ),
                user="root",
                ssh_command=f"scripts/ssh --stack {pulumi.get_stack()} {planned.name}",
                resource=running,
                drift=drift,
            ),
            self,
        )
        self.register_outputs({"address": planned.address})


class LocalSubstrate(pulumi.ComponentResource):
    """All machines of a stack with what they share: image, network, the key to log in with."""

    machines: dict[str, Machine]

    def __init__(
        self, settings: Settings, plan: Topology, kind: Image, releases: Mapping[str, Release], drift: Drift
    ) -> None:
        """Makes them.

        Args:
            settings: Of the stack.
            plan: The machines.
            kind: What they start from.
            releases: Machine to what it runs.
            drift: What was seen of those that are there.
        """
        stack = pulumi.get_stack()
        super().__init__("php-cluster:local:LocalSubstrate", "local", None)
        identity = checkout_identity()
        lab = {
            "LAB": lab_id(stack, identity),
            "STACK": stack,
            "CHECKOUT": identity,
            "NETWORK": str(plan.network),
            "GATEWAY": plan.gateway,
        }
        child = pulumi.ResourceOptions(parent=self)
        login = key_pair("login-key", self)
        first = first_release(drift.last) or (None if drift.last.machines_with("machine") else releases[BALANCERS[0]])
        images = {
            release: _image(
                "image" if release == first else f"image-{release.suite}",
                image_inputs(settings, plan, kind, release),
                child,
            )
            for release in dict.fromkeys(releases.values())
        }
        network = command.local.Command(
            "network",
            create=f"{LAB_SCRIPTS}/network up",
            delete=f"{LAB_SCRIPTS}/network down",
            environment={**lab, **_ipv6_inputs(plan)},
            add_previous_output_in_env=False,
            opts=child,
        )
        made = [
            LocalMachine(
                planned,
                lab={**lab, **_ipv6_inputs(plan, planned.name)},
                prefix_length=plan.network.prefixlen,
                image=images[releases[planned.name]],
                upgraded="" if releases[planned.name] == first else _trigger(releases[planned.name]),
                network=network,
                login=login,
                brick_gib=settings.brick_gib,
                drift=drift,
                opts=child,
            )
            for planned in plan.machines
        ]
        self.machines = {one.machine.name: one.machine for one in made}
        pulumi.export("sshPrivateKey", login.private)
        pulumi.export("knownHosts", pulumi.Output.all(*[one.known_host for one in made]).apply("\n".join))
        self.register_outputs({"network": str(plan.network)})


def _image(name: str, inputs: Mapping[str, str], opts: pulumi.ResourceOptions) -> command.local.Command:
    return command.local.Command(
        name,
        create=f"{LAB_SCRIPTS}/image up",
        delete=f"{LAB_SCRIPTS}/image down",
        environment=inputs,
        add_previous_output_in_env=False,
        opts=opts,
    )


def states(names: tuple[str, ...]) -> States:
    """Looks at the machines of the current stack with these names. Nothing is known of them without root."""
    lab = lab_id(pulumi.get_stack(), checkout_identity())
    done = subprocess.run(
        [PROJECT_FOLDER / LAB_SCRIPTS / "states", *names],
        env={**os.environ, "LAB": lab},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pulumi.log.warn(f"whether machines are off is not seen: {done.stderr.strip()}")
        return {}
    found = dict(line.split() for line in done.stdout.splitlines())
    return {name: state for name, state in found.items() if state in (OFF, GONE)}
