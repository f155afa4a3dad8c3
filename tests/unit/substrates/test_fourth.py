"""A fourth substrate is one folder, tests/unit/substrates/incus, and one line in the registry."""

import json
from typing import Any

import pulumi
import pytest

from components import stack_config
from components.cluster import PhpCluster
from components.plan.config_values import ConfigError
from components.plan.settings import Settings, declared_defaults, known_keys, read_settings
from components.site.package import Site
from components.steps.drift import Drift
from components.steps.last_update import LastUpdate
from components.substrates.registry import SUBSTRATES, Substrate
from tests.unit.graph import NETWORK, Graph, everything_before, graph_of
from tests.unit.substrates.incus import Incus

WITH_IT: dict[str, type[Substrate[Any]]] = {
    **SUBSTRATES,
    "incus": Incus,
}


def read(**values: Any) -> tuple[Settings, Substrate[Any]]:
    """As the program reads them from the engine, which keeps maps and lists as JSON."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    pulumi.runtime.set_all_config({f"php-cluster:{key}": value for key, value in texts.items()})
    return read_settings(stack_config.values(WITH_IT), stack_config.secret_keys(), WITH_IT)


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(**values)
    return str(caught.value)


@pytest.fixture(scope="module")
def graph() -> Graph:
    settings, substrate = read(substrate="incus", network=NETWORK, phpNodes=3, incus={"pool": "fast"})
    plan = substrate.plan(settings, LastUpdate())

    def program() -> None:
        drift = Drift(LastUpdate())
        machines = substrate.create(settings, plan, drift)
        PhpCluster("cluster", settings, plan, machines, Site(settings.app_dir, "0" * 64), last=drift.last)

    return graph_of(program)


def test_its_machines_are_made(graph: Graph) -> None:
    for name, address, has_brick in (("lb1", "198.18.7.11", True), ("php3", "198.18.7.23", False)):
        node = graph[f"{name}-machine"]
        assert node.inputs["create"] == f"incus launch images:debian/12/cloud unit-{name}"
        configuration = json.loads(node.inputs["stdin"]["value"])
        assert configuration["devices"]["eth0"]["ipv4.address"] == address
        assert ("data" in configuration["devices"]) is has_brick


def test_the_cluster_is_made_of_them(graph: Graph) -> None:
    assert {f"{name}-machine" for name in ("lb1", "lb2", "php1", "php2", "php3")} <= everything_before(
        graph, "lb1-site-answers"
    )
    assert graph["php3-mount"].deleted_with == "php3-machine"


def test_its_settings_are_checked_with_all_others() -> None:
    said = refusal(substrate="incus", phpNodes="0", incus={"pools": "fast", "bridge": "no bridge"}, aws={"egress": "x"})
    assert said.startswith("6 config keys need another value")
    for expected in (
        "php-cluster:incus.pools is no key of this project\n    Did you mean pool? Known keys: bridge, pool.",
        'php-cluster:incus.bridge is "no bridge"\n    It must be the name of a bridge.\n'
        "    Example: pulumi config set --path 'incus.bridge' incusbr0",
        'php-cluster:incus.pool is ""',
        'php-cluster:network is ""\n    It must be that of the bridge.',
        'php-cluster:phpNodes is "0"',
        'php-cluster:aws.egress is "x"',
    ):
        assert expected in said
    # What is set for another substrate is no obstacle, as long as it can be meant.
    assert "php-cluster:incus.pool is" not in refusal(phpNodes="0", incus={"bridge": "br0"})
    assert 'php-cluster:incus.bridge is ""' in refusal(incus={"bridge": ""})
    assert "php-cluster:incus is no map of settings" in refusal(incus="fast")


def test_it_is_offered() -> None:
    assert "It must be one of aws, existing, incus, local." in refusal(substrate="incas")


def test_the_keys_of_the_others_are_declared() -> None:
    """Pulumi.yaml describes them for who reads it; their defaults are the substrates'."""
    assert known_keys(SUBSTRATES) == declared_defaults()
    declared = {key: declared_defaults()[key] for each in SUBSTRATES.values() for key in each.KEYS}
    assert declared == {key: default for each in SUBSTRATES.values() for key, default in each.KEYS.items()}
