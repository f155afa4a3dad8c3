"""A session outlives any change of the store, whatever is killed, interrupted or turned back; and no rule is idle."""

import pytest

from tests.model.store_change import ALL, FILES, LOG, RULES, explored


@pytest.mark.parametrize("begins", [FILES, LOG], ids=["to the log", "to files"])
def test_with_all_rules_nothing_is_lost(begins: int) -> None:
    result = explored(begins=begins)
    assert result.complete and result.found is None, str(result.found)
    assert result.states > 2000


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_session_is_lost(rule: str) -> None:
    for begins in (FILES, LOG):
        assert explored(ALL - {rule}, begins=begins).found
