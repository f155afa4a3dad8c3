"""The volume's layout and options, by profile."""

from components import topology
from components.gluster import SAFE_OPTIONS, volume_layout
from components.topology import Profile


def test_article_is_the_recipe() -> None:
    plan = topology.plan("198.18.7.0/24", 3, Profile.ARTICLE)
    assert volume_layout(plan) == "replica 2"


def test_safe_has_an_arbiter_and_no_caches() -> None:
    plan = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
    assert volume_layout(plan) == "replica 3 arbiter 1"
    assert SAFE_OPTIONS["performance.write-behind"] == "off"
    assert SAFE_OPTIONS["client.strict-locks"] == "on"
