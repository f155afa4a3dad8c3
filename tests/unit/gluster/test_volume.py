"""The volume's layout and options, by profile."""

import pytest

from components.gluster.volume import _id_in, volume_layout
from components.plan import topology
from components.plan.debian import RELEASES
from components.plan.topology import Profile
from components.plan.volume_options import SAFE_OPTIONS, is_allowed, options_of
from tests.unit.graph import cluster_graph


def test_article_is_the_recipe() -> None:
    plan = topology.plan("198.18.7.0/24", 3, Profile.ARTICLE)
    assert volume_layout(plan) == "replica 2"


def test_safe_has_an_arbiter_and_no_caches() -> None:
    plan = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
    assert volume_layout(plan) == "replica 2 thin-arbiter 1"
    assert SAFE_OPTIONS["performance.write-behind"] == "off"
    assert SAFE_OPTIONS["client.strict-locks"] == "on"


def test_a_stack_adds_options_to_those_of_its_profile() -> None:
    added = {"performance.cache-size": "64MB"}
    assert options_of(Profile.ARTICLE, added) == added
    assert options_of(Profile.SAFE, added) == {**SAFE_OPTIONS, **added}


@pytest.mark.parametrize("profile", Profile)
def test_tls_is_an_option_of_both_profiles_and_of_no_stack_s_own(profile: Profile) -> None:
    assert options_of(profile, {}, tls=True) == {**options_of(profile, {}), "client.ssl": "on", "server.ssl": "on"}
    assert not is_allowed("client.ssl", profile) and not is_allowed("server.ssl", profile)
    assert is_allowed("client.event-threads", Profile.ARTICLE)


@pytest.mark.parametrize("end", ["", "\n", " (nothing to change)\n"])
def test_the_volume_is_known_by_its_id(end: str) -> None:
    said = f"lets php1 leave the pool\nvolume sessions exists: replica 2, id b92c5554-b8c9-41eb-a494-ee4c2b7b070b{end}"
    assert _id_in(said) == "b92c5554-b8c9-41eb-a494-ee4c2b7b070b"
    assert _id_in(None) == _id_in("volume create failed") == ""


def test_no_stack_says_where_the_arbiter_listens() -> None:
    assert not is_allowed("client.ta-brick-port", Profile.SAFE)


def test_the_older_of_two_glusters_agrees_with_the_newer_before_a_brick_is_looked_at() -> None:
    graph = cluster_graph(releases={"lb1": RELEASES[12], "lb2": RELEASES[13]}, sharedDirs=["uploads"])
    added = {"lb1-volume-releases", "lb1-files-volume-releases"}
    assert {name for name in graph if name.endswith("volume-releases")} == added
    assert "lb1-volume-releases" in graph["lb2-brick-restore"].needs
    # One that cannot be asked is as it was.
    known = {"lb1-volume-releases": {"stdin": ""}}
    assert "lb1-volume-releases" in cluster_graph(releases={"lb2": RELEASES[13]}, known=known)
    for releases in ({"lb1": RELEASES[12]}, dict.fromkeys(("lb1", "lb2"), RELEASES[12])):
        assert not any(name.endswith("volume-releases") for name in cluster_graph(releases=releases))
