"""Clusters side by side on one box."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.commands import another_checkout
from tests.stack.cluster import Cluster, nothing_is_left


def test_clusters_do_not_know_of_each_other(tmp_path: Path) -> None:
    """Two stacks of this checkout, and one of another checkout that has the name of the first."""
    config = {"phpNodes": "1", "profile": "article"}
    first = Cluster(tmp_path / "first", config)
    second = Cluster(tmp_path / "second", config)
    namesake = Cluster(tmp_path / "third", config, name=first.name, checkout=another_checkout(tmp_path / "clone"))
    stacks = [first, second, namesake]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cluster.up, stacks))
        assert len({stack.outputs()["floatingIp"] for stack in stacks}) == 3

        visitors = [stack.visitor() for stack in stacks]
        for visits, visitor in enumerate(visitors, start=1):
            assert [visitor.visit()["counter"] for _ in range(visits)] == list(range(1, visits + 1))

        namesake.destroy()
        nothing_is_left(namesake.lab)
        for stack, visitor in zip(stacks[:2], visitors[:2], strict=True):
            before = visitor.count
            assert visitor.visit()["counter"] == before + 1
            stack.pulumi("preview", "--expect-no-changes", "--stack", stack.name)
        # The lab's own commands take a name for that of this checkout's stack.
        first.lab_command("power-off", "php1")
        assert visitors[1].visit()["counter"] == 4

        # The state of one is lost: only names are left.
        first.lab_command("sweep")
        nothing_is_left(first.lab)
        assert visitors[1].visit()["counter"] == 5
        first.pulumi("stack", "rm", "--yes", "--force", first.name)
        stacks.remove(first)
    finally:
        for stack in stacks:
            stack.remove()
    nothing_is_left(*(stack.lab for stack in (first, second, namesake)))
