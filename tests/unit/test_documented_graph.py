"""docs/architecture.md names every step of a cluster, and what each waits for; here is what holds it to that."""

import re
from typing import Any

import pytest

from tests.commands import PROJECT
from tests.unit.graph import cluster_graph

_ROW = re.compile(r"^\| (`[^|]*) \|([^|]*)\|[^|]+\|$", re.MULTILINE)
_NAME = re.compile(r"(each )?`([^`]+)`")
MACHINES = {"lb_i": ("lb1", "lb2"), "php_i": ("php1", "php2")}


def expanded(name: str) -> list[str]:
    """`lb_i-brick` is the step of each balancer."""
    for pattern, machines in MACHINES.items():
        if name.startswith(pattern):
            return [name.replace(pattern, machine) for machine in machines]
    return [name]


def documented(tables: int) -> dict[str, set[str]]:
    """Each step of the page's first tables, with the steps that it waits for: of its own machine, where it has such a
    step, unless the page says `each`."""
    text = (PROJECT / "docs" / "architecture.md").read_text()
    parts = text.partition("## The graph\n")[2].partition("\n## ")[0].split("| --- | --- | --- |")
    steps: dict[str, set[str]] = {}
    for row in _ROW.finditer("".join(parts[1 : 1 + tables])):
        [(_, step)] = _NAME.findall(row.group(1))
        for name in expanded(step):
            after = steps.setdefault(name, set())
            for each, needed in _NAME.findall(row.group(2)):
                names = expanded(needed)
                own = [one for one in names if one.split("-")[0] == name.split("-")[0]]
                after.update(names if each or not own else own)
    return steps


APPLICATION = {
    "sharedDirs": ["uploads"],
    "releaseCommands": ["true"],
    "nodeCommands": ["true"],
    "appEnvironment": {"NAME": "value"},
}


METRICS = {"metrics": {"allowFrom": ["198.18.5.0/24"]}}


CERTIFICATE = {"acme": {"email": "admin@example.org"}, "siteName": "www.example.org"}


IPV6 = {"floatingIp6": "auto"}


HTTP3 = {"http3": True}


@pytest.mark.parametrize(
    ("tables", "values"),
    [
        (1, {}),
        (2, APPLICATION),
        (3, APPLICATION | METRICS),
        (4, APPLICATION | METRICS | CERTIFICATE),
        (5, APPLICATION | METRICS | CERTIFICATE | IPV6),
        (6, APPLICATION | METRICS | CERTIFICATE | IPV6 | HTTP3),
    ],
)
def test_every_step_is_there_with_what_it_waits_for(tables: int, values: dict[str, Any]) -> None:
    made = {
        name: {needed for needed in node.needs if not needed.endswith(("-machine", "-scripts"))}
        for name, node in cluster_graph(phpNodes=2, **values).items()
        if not node.type.startswith(("php-cluster:", "test:")) and not name.endswith("-scripts")
    }
    assert documented(tables) == made
