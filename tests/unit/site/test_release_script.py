"""scripts/release: what nodes say, and to which release they go back."""

import pytest

from scripts.machines import RefusalError
from scripts.site_release import Node, Release, choose, releases_in, table

NEW, OLD, OLDEST = "b" * 64, "a" * 64, "ab" * 32
HISTORY = (Release(NEW, 300, serves=True), Release(OLD, 200, serves=False), Release(OLDEST, 100, serves=False))


def test_what_a_node_says() -> None:
    assert releases_in(f"{NEW} 300 serves\n{OLD} 200 -\n") == HISTORY[:2]


def test_back_is_to_what_served_before() -> None:
    assert choose({"php1": Node(HISTORY), "php2": Node(HISTORY)}, "") == OLD


@pytest.mark.parametrize(("wanted", "chosen"), [("abab", OLDEST), (OLD, OLD), ("bb", NEW)])
def test_the_beginning_of_a_name_is_enough(wanted: str, chosen: str) -> None:
    assert choose({"php1": Node(HISTORY)}, wanted) == chosen


def test_a_node_that_does_not_answer_does_not_count() -> None:
    assert choose({"php1": Node(HISTORY), "php2": Node(problem="no route")}, "") == OLD


@pytest.mark.parametrize(
    ("nodes", "wanted", "why"),
    [
        ({"php1": Node(HISTORY)}, "c", "no releases begin with c"),
        ({"php1": Node(HISTORY)}, "a", "2 releases begin with a"),
        ({"php1": Node(HISTORY[:1])}, "", "no other release that has served"),
        ({"php1": Node(HISTORY), "php2": Node(HISTORY[:1])}, "", "is not on php2"),
        ({"php1": Node(HISTORY), "php2": Node((Release(OLD, 1, serves=True),))}, "", "serve different releases"),
        ({"php1": Node(problem="no route")}, "", "no PHP node answers: php1: no route"),
    ],
)
def test_what_is_refused(nodes: dict[str, Node], wanted: str, why: str) -> None:
    with pytest.raises(RefusalError) as caught:
        choose(nodes, wanted)
    assert why in str(caught.value)


def test_the_list() -> None:
    lines = table({"php1": Node(HISTORY[:2]), "php2": Node(problem="no route")}).splitlines()
    assert lines == [
        "php1   bbbbbbbbbbbb  serves since 1970-01-01 00:05:00 UTC",
        "php1   aaaaaaaaaaaa  was switched to 1970-01-01 00:03:20 UTC",
        "php2   ? no route",
    ]
