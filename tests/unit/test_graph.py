"""Who depends on whom, what each step gets, and what one more node touches."""

import itertools
import json
from typing import Any

import pytest

from components.steps.drift import Drift
from components.steps.last_update import LastUpdate
from tests.unit.graph import NETWORK, SECRET, Graph, cluster_graph, everything_before, graph_of
from tests.unit.settings import read_with_substrate

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
STEP = "command:remote:Command"


@pytest.fixture(scope="module")
def safe() -> Graph:
    return cluster_graph(phpNodes=3)


def revealed(secret: Any) -> Any:
    """What the engine's wrapping of a secret holds; fails for a value that is in the clear."""
    assert secret[SIGNATURE] == SECRET_SIGNATURE
    return secret["value"]


def steps(graph: Graph) -> dict[str, Any]:
    return {name: node for name, node in graph.items() if node.type == STEP}


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("lb1-brick", {"lb1-install"}),
        ("lb1-peer-probe-lb2", {"lb1-brick", "lb2-brick"}),
        ("lb2-peer-probe-lb1", {"lb1-peer-probe-lb2"}),
        ("volume-create", {"lb1-peer-probe-lb2", "lb2-peer-probe-lb1"}),
        ("php1-arbiter", {"php1-install", "volume-create"}),
        ("volume-arbiter", {"php1-arbiter", "lb1-brick-restore", "lb2-brick-restore"}),
        ("volume-options", {"volume-arbiter"}),
        ("volume-start", {"volume-options"}),
        ("volume-heal", {"volume-start"}),
        ("php1-arbiter-agrees", {"volume-heal"}),
        # Nobody's access is revoked before no balancer sends it requests.
        ("volume-revoke", {"volume-heal", "lb1-haproxy", "lb2-haproxy"}),
        ("volume-info", {"volume-revoke"}),
        ("php3-mount", {"volume-start", "php3-install"}),
        ("php3-site-staged", {"php3-site-archive", "php3-install"}),
        ("php1-site-tried", {"php1-site-staged", "php1-php", "php1-mount"}),
        # Everywhere or nowhere.
        ("php3-site", {"php1-site-staged", "php2-site-staged", "php3-site-staged", "php1-site-tried"}),
        ("php3-site", {"php3-php", "php3-mount"}),
        ("php3-php", {"php3-install", "php1-php-tried"}),
        ("php1-php-tried", {"php1-install"}),
        ("lb2-haproxy", {"lb2-install", "php1-php", "php1-site", "php3-php", "php3-site"}),
        ("lb2-keepalived", {"lb2-install"}),
        ("floating-ip", {"lb1-keepalived", "lb2-keepalived", "lb1-haproxy", "lb2-haproxy"}),
        ("lb1-site-answers", {"php1-php", "php2-site", "php3-php", "lb1-haproxy"}),
    ],
)
def test_the_articles_steps_come_in_order(safe: Graph, later: str, earlier: set[str]) -> None:
    assert earlier <= everything_before(safe, later)


def test_what_can_go_side_by_side_does(safe: Graph) -> None:
    volume = {name for name in safe if name.startswith("volume-")}
    for name in ("php2-site-staged", "php2-install", "lb2-install"):
        assert not everything_before(safe, name) & volume, name
    for name in ("php2-php", "lb2-keepalived"):
        assert everything_before(safe, name) & volume == {"volume-create", "volume-arbiter", "volume-options"}, name
    for name in ("php2-mount", "php2-php", "php2-site-staged"):
        assert not [other for other in everything_before(safe, name) if other.startswith("php3")], name
    balancing = {"lb1-haproxy", "lb2-haproxy", "floating-ip"}
    assert not everything_before(safe, "php2-site") & balancing


def test_every_step_belongs_to_its_machine(safe: Graph) -> None:
    assert {"lb1", "lb2", "php1", "php2", "php3"} == {name.split("-")[0] for name in steps(safe) if "-install" in name}
    for name, node in safe.items():
        if not node.type.startswith("command:remote:"):
            continue
        host = node.deleted_with.removesuffix("-machine")
        assert node.deleted_with in node.needs, name
        assert node.inputs["triggers"] == [f"{host}-machine-id"], name
        assert node.parent and not node.parent.startswith("pulumi:"), f"{name} has no component around it"
        connection = revealed(node.inputs["connection"])
        assert connection["hostKey"] == "ssh-ed25519 AAAA"
        assert 0 < connection["dialErrorLimit"] <= (40 if name.endswith("-scripts") else 5)


@pytest.mark.parametrize("values", [{}, {"glusterTls": True, "sharedDirs": ["uploads"], "appEnvironment": {"A": "b"}}])
def test_no_step_is_done_before_its_machine_is_installed(values: dict[str, Any]) -> None:
    graph = cluster_graph(phpNodes=2, **values)
    for name, node in steps(graph).items():
        install = f"{node.deleted_with.removesuffix('-machine')}-install"
        assert name == install or install in everything_before(graph, name), name


def test_nothing_is_in_a_command_line(safe: Graph) -> None:
    for name, node in steps(safe).items():
        assert node.inputs["create"].startswith("timeout --kill-after=10 "), name
        assert node.inputs["create"].endswith(" bash -s"), name
        assert not {"update", "delete", "environment"} & set(node.inputs), name


def test_secrets_are_wrapped(safe: Graph) -> None:
    carriers = {name for name, node in safe.items() if SECRET in json.dumps(node.inputs, default=str)}
    assert carriers == {"lb1-haproxy", "lb2-haproxy"}
    for name in carriers:
        assert SECRET in revealed(safe[name].inputs["stdin"])


def test_one_more_node_touches_the_lists_alone() -> None:
    before, after = cluster_graph(phpNodes=3), cluster_graph(phpNodes=4)
    new = after.keys() - before.keys()
    assert new and all("php4" in name for name in new)
    changed = {name for name in before if before[name].inputs != after[name].inputs}
    assert changed == {
        # The access list of the volume.
        "volume-options",
        "volume-revoke",
        "volume-info",
        # The lists of the balancers, and the wait for all nodes.
        *(f"{balancer}-{step}" for balancer in ("lb1", "lb2") for step in ("haproxy", "site-answers")),
    }


def test_each_node_costs_the_same() -> None:
    sizes = [len(cluster_graph(phpNodes=count)) for count in (2, 3, 4, 5)]
    assert len({larger - smaller for smaller, larger in itertools.pairwise(sizes)}) == 1


def test_the_article_has_no_arbiter() -> None:
    graph = cluster_graph(profile="article")
    assert [name for name in graph if "arbiter" in name] == ["volume-arbiter"]
    assert "LAYOUT='replica 2'" in graph["volume-create"].inputs["stdin"]
    assert "php1-php-extension" not in graph and "php_cluster" not in graph["php1-php"].inputs["stdin"]


def test_one_node_collects(safe: Graph) -> None:
    collecting = [name for name, node in steps(safe).items() if "take COLLECT_PHP" in str(node.inputs["stdin"])]
    assert collecting == ["php1-php"]


def test_local_machines() -> None:
    settings, local = read_with_substrate({"network": NETWORK, "phpNodes": 2})
    graph = graph_of(lambda: local.create(settings, local.plan(settings, LastUpdate()), Drift(LastUpdate())))
    for name in ("lb1", "lb2", "php1", "php2"):
        node = graph[f"{name}-machine"]
        assert {"image", "network", f"{name}-host-key", "login-key"} <= everything_before(graph, f"{name}-machine")
        # Not of the others': machines are made side by side.
        assert not [other for other in node.needs if other.endswith("-machine")]
        has_disk = name in ("lb1", "lb2")
        assert (node.inputs["environment"]["BRICK_GIB"] == "2") is has_disk
        assert "PRIVATE KEY" not in json.dumps(node.inputs["environment"])
        assert node.inputs["delete"] == "scripts/lab/machine down"
    packages = graph["image"].inputs["environment"]["PACKAGES"].split()
    assert {"glusterfs-server", "haproxy", "keepalived", "php-fpm"} <= set(packages)
