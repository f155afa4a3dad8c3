"""What the substrate `local` decides before it makes anything."""

import re
from typing import Any

import pulumi
import pytest

from components.plan.config_values import ConfigError
from components.steps.drift import Drift
from components.steps.last_update import LastUpdate
from components.substrates.local.identity import default_network6
from tests.unit.graph import NETWORK, Graph, graph_of
from tests.unit.settings import read_with_substrate


def packages_of_image(**values: Any) -> list[str]:
    settings, local = read_with_substrate({"network": NETWORK, "extraPackages": ["php-mysql"], **values})
    graph = graph_of(lambda: local.create(settings, local.plan(settings, LastUpdate()), Drift(LastUpdate())))
    packages: str = graph["image"].inputs["environment"]["PACKAGES"]
    return packages.split()


def test_one_image_holds_what_every_machine_needs() -> None:
    packages = packages_of_image()
    assert {"glusterfs-server", "haproxy", "keepalived", "nginx-light", "php-fpm", "php-mysql"} <= set(packages)
    assert packages == sorted(set(packages))


def test_a_stock_image_holds_nothing_of_the_cluster() -> None:
    assert packages_of_image(image="stock") == []


@pytest.mark.parametrize(
    ("suite", "debian", "refused"),
    [(None, 12, False), ("bookworm", 12, False), ("trixie", 13, False), (None, 13, True), ("trixie", 12, True)],
)
def test_a_stack_stays_at_its_release_until_it_is_upgraded(suite: str | None, debian: int, refused: bool) -> None:
    """One that was made when there was no choice has Debian 12."""
    image = {"environment": {"PACKAGES": ""} | ({"SUITE": suite} if suite else {})}
    drift = Drift(LastUpdate({"image": image, "lb1-machine": {}}))
    settings, local = read_with_substrate({"network": NETWORK, "debian": debian})
    if refused:
        with pytest.raises(ConfigError, match=rf"debian is {debian}, and the machines .*(?s:\n.*)scripts/upgrade"):
            local.create(settings, local.plan(settings, drift.last), drift)
    else:
        assert "image" in graph_of(lambda: local.create(settings, local.plan(settings, drift.last), drift))


@pytest.mark.parametrize(("debian", "suite"), [("12", "bookworm"), ("13", "trixie"), ("", "trixie")])
def test_a_new_stack_has_the_release_that_is_set_or_the_default(debian: str, suite: str) -> None:
    graph = made({}, debian=debian)
    assert graph["image"].inputs["environment"]["SUITE"] == suite
    assert triggers_of(graph) == dict.fromkeys(NAMES, "")


def made(known: dict[str, dict[str, Any]], **values: Any) -> Graph:
    settings, local = read_with_substrate({"network": NETWORK, **values})
    return graph_of(lambda: local.create(settings, local.plan(settings, LastUpdate()), Drift(LastUpdate(known))))


def triggers_of(graph: Graph) -> dict[str, str]:
    """Of each machine, beyond address and host key."""
    return {name: " ".join(node.inputs["triggers"][2:]) for name, node in graph.items() if name.endswith("-machine")}


def images_of(graph: Graph) -> dict[str, str]:
    """The image that each machine is made from, by the name of its resource."""
    machines = {name: node for name, node in graph.items() if name.endswith("-machine")}
    return {name: node.inputs["environment"]["IMAGE"].removeprefix("stdout of ") for name, node in machines.items()}


BOOKWORM, TRIXIE = ({"environment": {"SUITE": suite}} for suite in ("bookworm", "trixie"))
NAMES = ("lb1-machine", "lb2-machine", "php1-machine", "php2-machine")
ON_12: dict[str, dict[str, Any]] = {"image": BOOKWORM} | {name: {"triggers": ["address", "key"]} for name in NAMES}
UPGRADED = {"triggers": ["address", "key", "Debian 13"]}


@pytest.mark.parametrize("image", [BOOKWORM, TRIXIE, {"environment": {"PACKAGES": ""}}])
def test_a_stack_that_is_not_told_keeps_its_release(image: dict[str, Any]) -> None:
    """The default was 12 once, and 12 is what images had before there was a choice."""
    suite = image["environment"].get("SUITE", "bookworm")
    before_any_machine, with_machines = made({"image": image}), made(ON_12 | {"image": image}, phpNodes=3)
    for graph in (before_any_machine, with_machines):
        assert graph["image"].inputs["environment"]["SUITE"] == suite
        assert set(triggers_of(graph).values()) == {""}
        assert set(images_of(graph).values()) == {"image"}


def test_a_machine_that_joins_a_cluster_of_both_has_the_newer_release() -> None:
    graph = made(ON_12 | {"image-trixie": TRIXIE, "php2-machine": UPGRADED}, phpNodes=3)
    assert triggers_of(graph) == dict.fromkeys(NAMES, "") | dict.fromkeys(("php2-machine", "php3-machine"), "Debian 13")


def test_the_machine_that_is_upgraded_is_replaced_and_no_other() -> None:
    graph = made(ON_12, debian=13, upgrading="php2")
    assert triggers_of(graph) == dict.fromkeys(NAMES, "") | {"php2-machine": "Debian 13"}
    assert images_of(graph) == dict.fromkeys(NAMES, "image") | {"php2-machine": "image-trixie"}
    assert graph["image-trixie"].inputs["environment"]["SUITE"] == "trixie"


@pytest.mark.parametrize("debian", [12, 13, ""])
def test_a_cluster_of_both_releases_stays_as_it_is(debian: int | str) -> None:
    both = ON_12 | {"image-trixie": TRIXIE, "php2-machine": UPGRADED}
    graph = made(both, debian=debian)
    assert triggers_of(graph) == dict.fromkeys(NAMES, "") | {"php2-machine": "Debian 13"}
    assert graph["image"].inputs["environment"]["SUITE"] == "bookworm"


def test_a_machine_goes_back() -> None:
    graph = made(ON_12 | {"image-trixie": TRIXIE, "php2-machine": UPGRADED}, debian=12, upgrading="php2")
    assert triggers_of(graph) == dict.fromkeys(NAMES, "")
    assert "image-trixie" not in graph


def test_http3_wants_balancers_that_speak_it() -> None:
    asked: dict[str, Any] = {"acme": {"email": "admin@example.org"}, "siteName": "www.example.org", "http3": True}
    both = dict.fromkeys(NAMES, UPGRADED) | {"image-trixie": TRIXIE}
    on_12 = {"triggers": ["address", "key"]}
    assert "lb1-machine" in made(both | {"image": BOOKWORM, "php1-machine": on_12}, **asked)
    for known, values, name in (
        ({}, {"debian": 12}, "lb1"),
        (both | {"image": BOOKWORM, "lb2-machine": on_12}, {}, "lb2"),
        (both, {"debian": 12, "upgrading": "lb2"}, "lb2"),
    ):
        with pytest.raises(ConfigError, match=f"http3 is true, and {name} runs Debian 12"):
            made(known, **asked, **values)


def test_what_comes_after_an_upgrade_has_the_new_release() -> None:
    graph = made({"image-trixie": TRIXIE} | dict.fromkeys(NAMES, UPGRADED), debian=13, phpNodes=3)
    assert "image" not in graph
    assert triggers_of(graph) == dict.fromkeys([*NAMES, "php3-machine"], "Debian 13")


def test_only_balancers_have_ipv6_and_only_if_it_is_wanted() -> None:
    """What a stack has that does not want it stays as it was."""
    keys = {"GATEWAY6", "ADDRESS6"}

    def ipv6_of(graph: Graph) -> dict[str, dict[str, str]]:
        given = {name: node.inputs.get("environment", {}) for name, node in graph.items()}
        found = {name: {key: of[key] for key in keys & set(of)} for name, of in given.items()}
        return {name: of for name, of in found.items() if of}

    assert ipv6_of(made({})) == {}
    given = ipv6_of(made({}, floatingIp6="auto"))
    network = str(default_network6(pulumi.get_stack()))
    assert re.fullmatch(r"fd[0-9a-f]{2}(:[0-9a-f]{1,4}){2}::/64", network)
    base = network.removesuffix("/64")
    assert given == {
        "network": {"GATEWAY6": f"{base}1"},
        "lb1-machine": {"GATEWAY6": f"{base}1", "ADDRESS6": f"{base}11"},
        "lb2-machine": {"GATEWAY6": f"{base}1", "ADDRESS6": f"{base}12"},
    }
    settings, local = read_with_substrate({"network": NETWORK, "floatingIp6": "auto"})
    assert local.plan(settings, LastUpdate()).floating_ip6 == f"{base}10"
    assert default_network6("one") != default_network6("another")
