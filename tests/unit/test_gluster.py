"""The volume's layout and options, by profile."""

from components import topology
from components.gluster import SAFE_OPTIONS, volume_layout, volume_options
from components.topology import Profile


def test_article_is_the_recipe() -> None:
    plan = topology.plan("198.18.7.0/24", 3, Profile.ARTICLE)
    assert volume_layout(plan) == "replica 2"
    assert volume_options(plan, Profile.ARTICLE) == {"auth.allow": "198.18.7.21,198.18.7.22,198.18.7.23"}


def test_safe_has_an_arbiter_and_no_caches() -> None:
    plan = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
    assert volume_layout(plan) == "replica 3 arbiter 1"
    options = volume_options(plan, Profile.SAFE)
    assert options["performance.write-behind"] == "off"
    assert options["client.strict-locks"] == "on"
    assert options == {"auth.allow": "198.18.7.21,198.18.7.22", **SAFE_OPTIONS}
