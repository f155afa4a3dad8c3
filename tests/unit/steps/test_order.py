"""Steps that a table orders are made each once, after those that it waits for."""

from collections.abc import Sequence
from functools import partial

import pulumi
import pytest

from components.steps.order import StepsInOrder
from tests.unit.graph import graph_of


class _Step(pulumi.CustomResource):
    def __init__(self, name: str, after: Sequence[pulumi.Resource]) -> None:
        super().__init__("test:index:Step", name, {}, pulumi.ResourceOptions(depends_on=after))


def test_each_is_made_once_after_what_it_waits_for() -> None:
    waits = {"php": ["mount", "others"], "mount": ["php-before"], "volume": ["mount", "php"], "nobody-makes-it": []}

    def program() -> None:
        order = StepsInOrder(waits, {name: partial(_Step, name) for name in ("php", "mount", "alone")})
        with pytest.raises(KeyError, match="php-before"):
            order.before("volume")
        order.add("php-before", _Step("before", []))
        order.add("others", _Step("one", []), _Step("other", []))
        _Step("volume", order.before("volume"))
        assert order.before("a-step-that-waits-for-none") == []
        assert set(order.made()) == {"php", "mount", "alone"}

    assert {name: set(node.needs) for name, node in graph_of(program).items()} == {
        "before": set(),
        "one": set(),
        "other": set(),
        "mount": {"before"},
        "php": {"mount", "one", "other"},
        "volume": {"mount", "php"},
        "alone": set(),
    }
