"""What is said when the arbiter's word is lost together with a brick."""

import pytest

from components.gluster.arbiter import RUNNING, loss_of_both_words
from components.steps.last_update import LastUpdate

SAFE = LastUpdate({RUNNING: {}})


@pytest.mark.parametrize(
    ("gone", "last", "left"),
    [
        ({"lb1", "php1"}, SAFE, "lb2"),
        ({"lb2", "php1", "php2"}, SAFE, "lb1"),
        ({"lb1"}, SAFE, None),
        ({"php1"}, SAFE, None),
        ({"lb1", "php2"}, SAFE, None),
        # No sessions are left, of which anything could be said.
        ({"lb1", "lb2", "php1"}, SAFE, None),
        # The profile article has no arbiter.
        ({"lb1", "php1"}, LastUpdate(), None),
    ],
)
def test_who_loses_a_brick_and_the_arbiter_is_told(gone: set[str], last: LastUpdate, left: str | None) -> None:
    said = loss_of_both_words(gone, last)
    assert f"sessions go on as {left} has them" in said if left else said == ""
