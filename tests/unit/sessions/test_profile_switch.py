"""What the program asks for when the profile is another one than that of the last update."""

import functools
import re
from typing import Any

import pytest

from components.plan.config_values import ConfigError
from components.plan.topology import Profile
from components.sessions.profile_switch import ProfileSwitch
from components.steps.last_update import LastUpdate
from tests.unit.graph import Graph, cluster_graph, everything_before, planned

OTHER = {"safe": "article", "article": "safe"}
Known = dict[str, dict[str, Any]]


def left_by(graph: Graph, *names: str) -> Known:
    """What an update leaves of these steps in the state; all of them when none is named."""
    return {
        name: {"stdin": node.inputs.get("stdin")}
        for name, node in graph.items()
        if (not names or name in names) and isinstance(node.inputs.get("stdin"), str)
    }


@functools.cache
def new_cluster(profile: str) -> Graph:
    return cluster_graph(phpNodes=2, profile=profile)


def state(profile: str, *names: str) -> Known:
    return left_by(new_cluster(profile), *names)


HANDOVERS = ["php1-handover", "php2-handover"]
PLAIN = "php1-plain-sessions"
TABLES: dict[str, tuple[Profile, Known, dict[str, list[str]]]] = {
    "new": (
        Profile.SAFE,
        {},
        {
            "volume-options": ["volume-arbiter"],
            "php1-mount": ["volume-start"],
            "php2-mount": ["volume-start"],
            "php1-php": ["volume-options"],
            "php2-php": ["volume-options"],
            "files-volume-arbiter": ["volume-start"],
        },
    ),
    "kept": (
        Profile.ARTICLE,
        state("article", "volume-options", "php1-mount", "php1-php"),
        {
            "volume-options": ["volume-arbiter"],
            "php1-mount": ["volume-start"],
            "php2-mount": ["volume-start"],
            # Of a node that serves, one thing at a time.
            "php1-php": ["volume-options", "php1-mount"],
            "php2-php": ["volume-options"],
            "files-volume-arbiter": ["volume-start"],
        },
    ),
    "to safe": (
        Profile.SAFE,
        state("article"),
        {
            "php1-mount": ["pool"],
            "php2-mount": ["php1-mount"],
            "php1-handover": ["php1-mount", "php2-mount"],
            "php2-handover": ["php1-mount", "php2-mount"],
            "volume-create": ["php1-mount", "php2-mount", *HANDOVERS],
            PLAIN: ["volume-arbiter"],
            "volume-options": ["volume-arbiter"],
            "php1-php": ["volume-heal", PLAIN],
            "php2-php": ["volume-heal", PLAIN],
            "files-volume-arbiter": ["volume-heal"],
        },
    ),
    "to safe, with a node that is new": (
        Profile.SAFE,
        state("article", "volume-options", "php1-mount", "php1-php"),
        {
            "php1-mount": ["pool"],
            "php1-handover": ["php1-mount"],
            "volume-create": ["php1-mount", "php1-handover"],
            PLAIN: ["volume-arbiter"],
            "volume-options": ["volume-arbiter"],
            "php2-mount": ["volume-heal"],
            "php1-php": ["volume-heal", "php2-mount", PLAIN],
            "php2-php": ["volume-heal", "php2-mount", PLAIN],
            "files-volume-arbiter": ["volume-heal"],
        },
    ),
    "to article": (
        Profile.ARTICLE,
        state("safe"),
        {
            "php1-handover": [],
            "php2-handover": [],
            "volume-create": HANDOVERS,
            PLAIN: ["volume-arbiter"],
            "volume-options": ["volume-arbiter", PLAIN],
            "php1-php": ["volume-heal"],
            "php2-php": ["volume-heal"],
            "php1-mount": ["php1-php", "php2-php"],
            "php2-mount": ["php1-mount"],
            "files-volume-arbiter": ["volume-heal"],
        },
    ),
    "switched": (
        Profile.ARTICLE,
        {**state("article"), **{step: {} for step in (*HANDOVERS, PLAIN)}},
        {
            "php1-handover": [],
            "php2-handover": [],
            PLAIN: ["volume-arbiter"],
            "volume-options": ["volume-arbiter"],
            "php1-mount": ["volume-start"],
            "php2-mount": ["volume-start"],
            "php1-php": ["volume-options", "php1-mount"],
            "php2-php": ["volume-options", "php2-mount"],
            "files-volume-arbiter": ["volume-start"],
        },
    ),
}


@pytest.mark.parametrize(("wanted", "known", "waits"), TABLES.values(), ids=TABLES)
def test_which_step_waits_for_which(wanted: Profile, known: Known, waits: dict[str, list[str]]) -> None:
    nodes = planned(phpNodes=2)[1].php_nodes
    assert ProfileSwitch(wanted, LastUpdate(known)).waits(nodes) == waits


@pytest.mark.parametrize("profile", OTHER)
def test_a_cluster_that_keeps_its_profile_has_no_step_for_another_one(profile: str) -> None:
    new = cluster_graph(phpNodes=2, profile=profile)
    again = cluster_graph(phpNodes=2, profile=profile, known=left_by(new))
    assert again.keys() == new.keys()
    php = {"php1-php", "php2-php"}
    assert {name: node.needs for name, node in again.items() if name not in php} == {
        name: node.needs for name, node in new.items() if name not in php
    }
    assert not [name for name in new if "handover" in name or "-left" in name or "plain" in name]


def test_each_step_to_safe_is_done_everywhere_before_the_next() -> None:
    graph = cluster_graph(phpNodes=2, profile="safe", known=state("article"))
    assert "php1-mount" in everything_before(graph, "php2-mount")
    # No mount keeps what was true a second ago while sessions are read by both, or the volume is changed.
    for node in ("php1", "php2"):
        assert {"php1-mount", "php2-mount"} <= everything_before(graph, f"{node}-handover")
        assert {"php1-handover", "php2-handover", "volume-heal"} <= everything_before(graph, f"{node}-php")
    assert {"php1-handover", "php2-handover"} <= everything_before(graph, "volume-create")
    assert "volume-arbiter" in everything_before(graph, "volume-options")
    # A mount needs a brick host that knows the volume.
    assert "lb2-peer-probe-lb1" in everything_before(graph, "php1-mount")
    # A brick was away for a moment: it has to be whole again.
    for step in ("volume-start", "volume-heal"):
        assert graph[step].inputs["stdin"] != state("article")[step]["stdin"]
    # Who asks it finds it.
    assert "php1-arbiter" in everything_before(graph, "volume-arbiter")
    assert "php1-arbiter-left" not in graph


def test_each_step_to_article_is_done_everywhere_before_the_next() -> None:
    graph = cluster_graph(phpNodes=2, profile="article", known=state("safe"))
    assert {"php1-handover", "php2-handover"} <= everything_before(graph, "volume-create")
    assert "volume-arbiter" in everything_before(graph, "php1-plain-sessions")
    # Records are never where something keeps what was true.
    assert "php1-plain-sessions" in everything_before(graph, "volume-options")
    for node in ("php1", "php2"):
        assert {"php1-plain-sessions", "volume-heal"} <= everything_before(graph, f"{node}-php")
        assert {"php1-php", "php2-php"} <= everything_before(graph, f"{node}-mount")
    assert "php1-mount" in everything_before(graph, "php2-mount")
    assert "volume-arbiter" in everything_before(graph, "php1-arbiter-left")
    assert "ARBITER=''\n" in graph["volume-create"].inputs["stdin"]


@pytest.mark.parametrize("profile", OTHER)
def test_the_update_after_it_changes_nothing(profile: str) -> None:
    switching = cluster_graph(phpNodes=2, profile=profile, known=state(OTHER[profile]))
    after = cluster_graph(phpNodes=2, profile=profile, known=left_by(switching))
    assert after.keys() == switching.keys()
    assert not [name for name in after if after[name].inputs != switching[name].inputs]
    # Nodes do not wait for each other any more.
    assert "php1-mount" not in everything_before(after, "php2-mount")
    assert not {"php1-mount", "php2-mount"} & everything_before(after, "php1-handover")
    assert "php2-handover" not in everything_before(after, "volume-create")


@pytest.mark.parametrize("wanted", Profile)
@pytest.mark.parametrize("step", ["volume-create", "php1-mount", "php2-php"])
def test_a_single_step_of_the_other_profile_is_enough(wanted: Profile, step: str) -> None:
    """An update that was interrupted leaves steps of both, and the order matters to the last of them."""
    known = {**state(wanted.value), **state(OTHER[wanted.value], step)}
    switch = ProfileSwitch(wanted, LastUpdate(known))
    assert switch.under_way
    waits = switch.waits(planned(phpNodes=3)[1].php_nodes)
    assert "php2-handover" in waits and "php3-handover" not in waits


def test_an_interrupted_switch_that_is_taken_back_is_one_too() -> None:
    switching = cluster_graph(phpNodes=2, profile="safe", known=state("article"))
    done = ("php1-mount", "php2-mount", "php1-handover", "volume-create", "php1-arbiter")
    known = {**state("article"), **left_by(switching, *done)}
    graph = cluster_graph(phpNodes=2, profile="article", known=known)
    assert {"php1-handover", "php2-handover", "php1-arbiter-left"} <= graph.keys()
    assert "php2-handover" in everything_before(graph, "volume-create")


def test_the_first_step_to_safe_is_taken_back_last() -> None:
    switching = cluster_graph(phpNodes=2, profile="safe", known=state("article"))
    known = {**state("article"), **left_by(switching, "php1-mount")}
    graph = cluster_graph(phpNodes=2, profile="article", known=known)
    assert {"volume-heal", "php1-php", "php2-php"} <= everything_before(graph, "php1-mount")


def test_switched_twice_the_steps_of_the_first_time_are_there() -> None:
    safe = cluster_graph(phpNodes=2, profile="safe", known=state("article"))
    article = cluster_graph(phpNodes=2, profile="article", known=left_by(safe))
    assert "GUARDED=no\n" in article["php1-handover"].inputs["stdin"]
    assert "GUARDED=yes\n" in safe["php1-handover"].inputs["stdin"]
    again = cluster_graph(phpNodes=2, profile="safe", known=left_by(article))
    assert "php1-arbiter-left" in article and "php1-arbiter-left" not in again
    # Its input says which way: what was done on the way there has to be done again, and before PHP goes on.
    texts = [graph["php1-plain-sessions"].inputs["stdin"] for graph in (safe, article, again)]
    assert ["GUARDED=no\n" in text for text in texts] == [False, True, False]
    assert "php1-plain-sessions" in everything_before(again, "php2-php")


def test_a_new_node_comes_as_it_is_to_be() -> None:
    graph = cluster_graph(phpNodes=3, profile="safe", known=state("article"))
    assert "php3-handover" not in graph
    assert {"php2-handover", "php2-mount", "php3-mount"} <= everything_before(graph, "php3-php")
    # The volume admits it with its options.
    assert "volume-options" in everything_before(graph, "php3-mount")


def test_a_node_with_another_address_is_mounted_when_it_is_admitted() -> None:
    known = state("article")
    options = known["volume-options"]
    options["stdin"] = re.sub(r"(?m)^ADDRESSES=.*$", "ADDRESSES=192.0.2.1", options["stdin"])
    graph = cluster_graph(phpNodes=2, profile="safe", known=known)
    assert "volume-options" in everything_before(graph, "php1-mount")


def test_a_volume_that_was_never_mounted_is_started_first() -> None:
    known = state("article")
    del known["php1-mount"], known["volume-start"]
    assert "volume-start" in everything_before(cluster_graph(phpNodes=2, profile="safe", known=known), "php1-mount")


def test_a_node_makes_one_thing_of_its_own_anew_at_a_time() -> None:
    new = cluster_graph(phpNodes=2)
    assert "php1-mount" not in everything_before(new, "php1-php")
    assert "php1-mount" in everything_before(cluster_graph(phpNodes=2, known=left_by(new)), "php1-php")


def test_nodes_that_leave_meanwhile_are_refused() -> None:
    switch = ProfileSwitch(Profile.SAFE, LastUpdate(state("article")))
    with pytest.raises(ConfigError, match=r"phpNodes is 1\n +php2 must not leave .*\n.*:phpNodes 2"):
        switch.check(["php1"])
    switch.check(["php1", "php2", "php3"])
    ProfileSwitch(Profile.ARTICLE, LastUpdate(state("article"))).check(["php1"])


def test_who_turns_the_records_must_have_been_there_before() -> None:
    for known, gone in ((state("safe"), ["php1"]), (state("safe", "volume-create", "php2-php"), [])):
        switch = ProfileSwitch(Profile.ARTICLE, LastUpdate(known))
        with pytest.raises(ConfigError, match=r"profile is article\n +php1 turns .*\n.*:profile safe"):
            switch.check(["php1", "php2"], gone)
    ProfileSwitch(Profile.ARTICLE, LastUpdate(state("safe"))).check(["php1", "php2"], ["php2"])
    ProfileSwitch(Profile.SAFE, LastUpdate(state("article"))).check(["php1", "php2"], ["php1"])
    ProfileSwitch(Profile.ARTICLE, LastUpdate()).check(["php1"])


@pytest.mark.parametrize("profile", OTHER)
def test_packets_and_names_are_the_same_for_both(profile: str) -> None:
    """While php1 begins to arbitrate, or ends it, strangers are kept out, and everybody knows its name."""
    graph, other = (cluster_graph(phpNodes=2, profile=each) for each in (profile, OTHER[profile]))
    installs = [name for name in graph if name.endswith("-install")]
    assert {name: graph[name].inputs for name in installs} == {name: other[name].inputs for name in installs}
