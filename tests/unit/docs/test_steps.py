"""Steps that pages name are in the graph of some cluster. What each waits for: tests/unit/test_documented_graph.py."""

import functools
import re
from typing import Any

import pytest

from tests.unit.docs.pages import PAGES, Page, page, table
from tests.unit.graph import Graph, cluster_graph

STEP = re.compile(r"(?:lb_i|php_i|lb[12]|php[12]|volume|files-volume)-[a-z][a-z0-9-]*")

APPLICATION: dict[str, Any] = {
    "sharedDirs": ["uploads"],
    "releaseCommands": ["true"],
    "nodeCommands": ["true"],
    "appEnvironment": {"NAME": "value"},
}


def left_by(graph: Graph) -> dict[str, dict[str, Any]]:
    return {
        name: {"stdin": node.inputs["stdin"]}
        for name, node in graph.items()
        if isinstance(node.inputs.get("stdin"), str)
    }


@functools.cache
def steps() -> frozenset[str]:
    """Of clusters of all kinds, and of updates between them."""
    safe, article = cluster_graph(phpNodes=2), cluster_graph(phpNodes=2, profile="article")
    shared, logged = cluster_graph(phpNodes=2, **APPLICATION), cluster_graph(phpNodes=2, sessionStore="log")
    measured = cluster_graph(phpNodes=2, metrics={"allowFrom": ["198.18.5.0/24"]})
    certified = cluster_graph(phpNodes=2, acme={"email": "admin@example.org"}, siteName="www.example.org")
    graphs = [
        safe,
        article,
        shared,
        measured,
        certified,
        cluster_graph(phpNodes=2, glusterTls=True),
        logged,
        cluster_graph(phpNodes=2, sessionStore="log", known=left_by(safe)),
        cluster_graph(phpNodes=2, known=left_by(logged)),
        cluster_graph(phpNodes=2, known=left_by(article)),
        cluster_graph(phpNodes=2, profile="article", known=left_by(safe)),
        cluster_graph(phpNodes=2, known=left_by(shared)),
        cluster_graph(phpNodes=2, known=left_by(measured)),
        cluster_graph(phpNodes=2, known=left_by(certified)),
    ]
    return frozenset(name for graph in graphs for name in graph)


def exists(name: str) -> bool:
    return name.replace("lb_i-", "lb1-").replace("php_i-", "php1-") in steps()


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_steps_are_in_the_graph(where: Page) -> None:
    assert [span for span in where.spans if STEP.fullmatch(span) and not exists(span)] == []


def test_operations_name_steps_of_some_machine() -> None:
    for row in table(page("docs/operations.md").text, "operation"):
        for name in re.findall(r"`([a-z_0-9-]+)`", row[2]):
            assert exists(name) or any(step.endswith(f"-{name}") for step in steps()), name
