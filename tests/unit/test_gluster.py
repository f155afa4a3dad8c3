"""The volume's layout and options, by profile."""

from components import topology
from components.gluster import volume_layout
from components.topology import Profile
from components.volume_options import SAFE_OPTIONS, options_of


def test_article_is_the_recipe() -> None:
    plan = topology.plan("198.18.7.0/24", 3, Profile.ARTICLE)
    assert volume_layout(plan) == "replica 2"


def test_safe_has_an_arbiter_and_no_caches() -> None:
    plan = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
    assert volume_layout(plan) == "replica 3 arbiter 1"
    assert SAFE_OPTIONS["performance.write-behind"] == "off"
    assert SAFE_OPTIONS["client.strict-locks"] == "on"


def test_a_stack_adds_options_to_those_of_its_profile() -> None:
    added = {"performance.cache-size": "64MB"}
    assert options_of(Profile.ARTICLE, added) == added
    assert options_of(Profile.SAFE, added) == {**SAFE_OPTIONS, **added}
