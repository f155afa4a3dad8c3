"""Builds components against a monitor that records what an engine would have been asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
from pulumi.runtime import mocks, rpc

from components.cluster import PhpCluster
from components.plan import topology
from components.plan.debian import Release
from components.plan.settings import Settings
from components.plan.topology import PlannedMachine, Topology
from components.site.package import Site
from components.steps.drift import Drift
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import with_scripts
from tests.unit.settings import read_settings

SECRET = "a password that only the mocks know"
NETWORK = "198.18.7.0/24"


@dataclass(frozen=True)
class Node:
    """One resource as it was registered."""

    type: str
    parent: str
    needs: frozenset[str]
    """Names of the resources it depends on, directly."""
    deleted_with: str
    ignored: frozenset[str]
    """Inputs whose change is no change."""
    inputs: Mapping[str, Any]
    """Secrets are in the engine's own wrapping."""


Graph = Mapping[str, Node]


class _Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ.startswith("random:"):
            outputs["result"] = pulumi.Output.secret(SECRET)
        if args.typ.startswith("aws:"):
            made = {"arn": "arn", "publicIp": "public-ip", "name": "name", "keyName": "key-name", "allocationId": "id"}
            outputs |= {output: f"{args.name}-{suffix}" for output, suffix in made.items()}
        if args.typ.startswith("command:"):
            outputs |= {"stdout": f"stdout of {args.name}\n", "stderr": ""}
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"nothing is looked up, but {args.token} was")


class _Recorder(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.graph: dict[str, Node] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        if request.type != "pulumi:pulumi:Stack":
            # A component may share its name with another (php1 is a machine and a node): its type tells them apart.
            name = request.name if request.custom else f"{request.type.rsplit(':', 1)[1]} {request.name}"
            assert name not in self.graph, f"two resources are named {name}"
            self.graph[name] = Node(
                type=request.type,
                parent=_name(request.parent),
                needs=frozenset(map(_name, request.dependencies)),
                deleted_with=_name(request.deletedWith),
                ignored=frozenset(request.ignoreChanges),
                inputs={
                    # Two assets of one file are the same input.
                    key: Path(value.path) if isinstance(value, pulumi.FileAsset) else value
                    for key, value in rpc.deserialize_properties(request.object, keep_unknowns=True).items()
                },
            )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def _name(urn: str) -> str:
    kind, _, name = urn.rpartition("::")
    return f"{kind.rsplit(':', 1)[1]} {name}" if "php-cluster:" in kind.rsplit("$", 1)[-1].rsplit("::")[-1] else name


def graph_of(program: Callable[[], object]) -> Graph:
    """Everything that the program registers, by name."""
    recorder = _Recorder()
    pulumi.runtime.set_mocks(_Mocks(), project="php-cluster", stack="unit", preview=False, monitor=recorder)

    def run() -> None:
        program()

    pulumi.runtime.test(run)()  # type: ignore[no-untyped-call]
    return recorder.graph


def everything_before(graph: Graph, name: str) -> set[str]:
    """The names of all resources that must be done before this one, however far."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for needed in graph[waiting.pop()].needs - seen:
            seen.add(needed)
            if needed in graph:
                waiting.append(needed)
    return seen


class _Box(pulumi.CustomResource):
    """Stands for whatever a substrate makes of a machine."""

    def __init__(self, name: str) -> None:
        super().__init__("test:index:Box", name, {})


def machine(planned: PlannedMachine, *, user: str = "root", drift: Drift | None = None) -> Machine:
    """A machine of no particular substrate."""
    box = _Box(f"{planned.name}-machine")
    return with_scripts(
        Machine(
            name=planned.name,
            role=planned.role,
            identity=box.id,
            address=planned.address,
            interface="eth0",
            brick_source="/dev/disk/by-id/brick",
            connection=command.remote.ConnectionArgs(
                host=planned.address, user=user, private_key=pulumi.Output.secret("key"), host_key="ssh-ed25519 AAAA"
            ),
            user=user,
            ssh_command=f"ssh {planned.name}",
            resource=box,
            drift=drift or Drift(LastUpdate()),
        ),
        box,
    )


def cluster_graph(
    *,
    known: Mapping[str, Mapping[str, Any]] | None = None,
    releases: Mapping[str, Release] | None = None,
    **values: Any,
) -> Graph:
    """The graph of a whole cluster with these settings, where the last update has left the steps that are `known`, and
    machines are known to run `releases`."""
    settings, plan = planned(**values)
    site = Site(settings.app_dir, "0" * 64)

    def program() -> None:
        last = LastUpdate(known)
        running = releases or {}
        machines = {
            each.name: replace(machine(each, drift=Drift(last)), release=running.get(each.name))
            for each in plan.machines
        }
        PhpCluster("cluster", settings, plan, machines, site, last=last)

    return graph_of(program)


def planned(**values: Any) -> tuple[Settings, Topology]:
    """Checked settings, and the plan that follows from them."""
    settings = read_settings({"network": NETWORK, **values}, secret_keys={"tlsKey"})
    assert settings.network is not None
    plan = topology.plan(settings.network, settings.php_nodes, settings.profile, settings.floating_ip)
    if settings.floating_ip6:
        plan = replace(plan, floating_ip6="fd00:7::10")
    return settings, plan
