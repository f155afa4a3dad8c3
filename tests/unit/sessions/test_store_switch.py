"""What the program asks for when the session store is another one than that of the last update."""

import functools
from typing import Any

import pytest

from components.plan.config_values import ConfigError
from components.plan.topology import SessionStore
from components.sessions.store_switch import StoreSwitch
from components.steps.last_update import LastUpdate
from tests.unit.graph import Graph, cluster_graph, everything_before
from tests.unit.sessions.test_profile_switch import Known, left_by

OTHER = {"log": "files", "files": "log"}
NODES = ("php1", "php2")
BOTH, NEW = ([f"{node}-{step}" for node in NODES] for step in ("both-stores", "new-store"))
MOVED, BEGUN = "php1-sessions-moved", "php1-session-log"


@functools.cache
def new_cluster(store: str) -> Graph:
    return cluster_graph(phpNodes=2, sessionStore=store)


def state(store: str, *names: str) -> Known:
    return left_by(new_cluster(store), *names)


def changed(store: str, known: Known | None = None, **values: Any) -> Graph:
    """A cluster with the other store, or what is `known`, that gets this one."""
    return cluster_graph(
        **{"phpNodes": 2, "sessionStore": store, **values}, known=state(OTHER[store]) if known is None else known
    )


@pytest.mark.parametrize("store", OTHER)
def test_each_step_is_done_everywhere_before_the_next(store: str) -> None:
    graph = changed(store)
    for node in NODES:
        assert {f"{node}-mount", f"{node}-php-extension"} <= everything_before(graph, f"{node}-both-stores")
        assert set(BOTH) <= everything_before(graph, f"{node}-new-store")
        assert MOVED in everything_before(graph, f"{node}-php")
    assert set(NEW) <= everything_before(graph, MOVED)


def test_nodes_know_the_log_when_it_is_there() -> None:
    graph = changed("log")
    for node in NODES:
        assert {BEGUN, f"{node}-session-service"} <= everything_before(graph, f"{node}-both-stores")
    assert {"php1-php", "php2-php"} <= everything_before(graph, "php1-session-files-left")


def test_the_log_goes_when_nobody_asks_it_any_more() -> None:
    graph = changed("files")
    assert BEGUN not in graph and "php1-session-service" not in graph
    for node in NODES:
        assert {"php1-php", "php2-php"} <= everything_before(graph, f"{node}-session-service-left")
        assert f"{node}-session-service-left" in everything_before(graph, "php1-session-log-left")


@pytest.mark.parametrize("store", OTHER)
def test_nodes_bring_sessions_to_the_store_of_before_first(store: str) -> None:
    graph = changed(store)
    for steps, moves_to in ((BOTH, OTHER[store]), (NEW, store)):
        for step in steps:
            text = graph[step].inputs["stdin"]
            assert f"TO={store}\n" in text and f'php_cluster.moves_to = "{moves_to}"' in text


@pytest.mark.parametrize("store", OTHER)
def test_a_cluster_that_keeps_its_store_has_no_step_for_another_one(store: str) -> None:
    new = new_cluster(store)
    again = changed(store, state(store))
    assert again.keys() == new.keys()
    assert not [name for name in new if name in (*BOTH, *NEW, MOVED) or "-left" in name]
    assert {name for name in new if again[name].inputs != new[name].inputs} == set()


@pytest.mark.parametrize("store", OTHER)
def test_the_update_after_it_changes_nothing(store: str) -> None:
    first = changed(store)
    after = changed(store, left_by(first))
    assert after.keys() == first.keys()
    assert not [name for name in after if after[name].inputs != first[name].inputs]
    assert "php2-both-stores" not in everything_before(after, "php1-new-store")


@pytest.mark.parametrize("store", OTHER)
def test_there_and_back_runs_each_step_again(store: str) -> None:
    first = changed(store)
    back = changed(OTHER[store], left_by(first))
    for step in (*BOTH, *NEW, MOVED):
        assert back[step].inputs["stdin"] != first[step].inputs["stdin"]
    again = changed(store, left_by(back))
    gone = {name for name in back if "session" in name and name.endswith("-left")}
    assert not gone & again.keys()


@pytest.mark.parametrize("store", OTHER)
@pytest.mark.parametrize("done", [["php1-both-stores"], [*BOTH, "php2-new-store"], [*BOTH, *NEW, MOVED, "php2-php"]])
def test_an_interrupted_change_goes_on_or_is_taken_back(store: str, done: list[str]) -> None:
    known = {**state(OTHER[store]), **left_by(changed(store), *done)}
    for wanted in OTHER:
        graph = changed(wanted, known)
        assert MOVED in everything_before(graph, "php1-php"), wanted
        assert set(BOTH) <= everything_before(graph, "php1-new-store")


def test_a_new_node_comes_as_it_is_to_be() -> None:
    graph = changed("log", phpNodes=3)
    assert "php3-both-stores" not in graph
    assert MOVED in everything_before(graph, "php3-php")


def test_what_cannot_go_together_is_refused() -> None:
    switch = StoreSwitch(SessionStore.LOG, LastUpdate(state("files")))
    switch.check(["php1", "php2", "php3"], ["php2"])
    with pytest.raises(ConfigError, match=r"phpNodes is 1; nothing.*\n +php2 must not leave .*\n.*:phpNodes 2"):
        switch.check(["php1"])
    with pytest.raises(ConfigError, match=r"sessionStore is log; .*\n +php1 moves .*\n.*:sessionStore files"):
        switch.check(NODES, ["php1"])
    with pytest.raises(ConfigError, match=r"sessionStore is log; .*\n +Profile and store .*\n.*:profile safe;"):
        switch.check(NODES, other_profile=True)
    StoreSwitch(SessionStore.FILES, LastUpdate(state("files"))).check(["php1"], ["php1"], other_profile=True)
    StoreSwitch(SessionStore.LOG, LastUpdate()).check(["php1"])
