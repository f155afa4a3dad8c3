"""What a site shares: which paths may be, how a release carries them, and what a cluster has for it."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from components.php.mount import files_fstab_line
from components.php.node import WebRules, nginx_site
from components.plan.config_values import ConfigError, Reader
from components.plan.shared_paths import SharedPaths, read_shared_paths
from components.plan.volume_options import FILES_OPTIONS, SAFE_OPTIONS
from components.site.package import pack
from components.site.shared_files import no_longer_shared
from components.steps.last_update import LastUpdate
from tests.unit.graph import Graph, cluster_graph, everything_before, planned
from tests.unit.settings import read_settings

KEYS: dict[str, Any] = {"sharedDirs": ["uploads", "storage/app/"], "sharedFiles": ["config/local.php"]}
SHARED = SharedPaths(("uploads", "storage/app"), ("config/local.php",))


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings(values)
    return str(caught.value)


@pytest.fixture(scope="module")
def sharing() -> Graph:
    return cluster_graph(phpNodes=2, **KEYS)


def known_of(graph: Graph) -> dict[str, dict[str, Any]]:
    return {
        name: {"stdin": node.inputs["stdin"]}
        for name, node in graph.items()
        if isinstance(node.inputs.get("stdin"), str)
    }


def files_steps(graph: Graph) -> set[str]:
    return {name for name in graph if "files" in name or "shared" in name}


# Settings


def test_a_slash_at_the_end_says_nothing() -> None:
    assert read_settings(KEYS).shared == SHARED


def test_by_default_nothing_is_shared() -> None:
    assert not read_settings({}).shared


@pytest.mark.parametrize("key", ["sharedDirs", "sharedFiles"])
@pytest.mark.parametrize(
    "value",
    [
        "uploads",
        [""],
        ["."],
        ["/"],
        ["/srv/uploads"],
        ["../uploads"],
        ["a/../b"],
        ["./uploads"],
        ["a//b"],
        ["a\\b"],
        ["a\nb"],
        ["it's"],
        [1],
        [["a"]],
        [".php-cluster-shipped"],
        ["uploads", "uploads"],
        ["uploads", "uploads/"],
        ["uploads", "uploads/images"],
        ["uploads/images", "uploads"],
    ],
)
def test_what_is_no_list_of_separate_paths_is_refused(key: str, value: Any) -> None:
    said = refusal(**{key: value})
    assert f"php-cluster:{key} is " in said
    assert "paths in the site, relative to appDir" in said
    assert f"pulumi config set --path '{key}[0]' " in said


def test_names_that_only_begin_alike_are_separate() -> None:
    assert read_settings({"sharedDirs": ["uploads", "uploads-old"]}).shared.dirs == ("uploads", "uploads-old")


def test_a_file_inside_a_folder_is_refused() -> None:
    said = refusal(sharedDirs=["config"], sharedFiles=["config/local.php"])
    assert "sharedFiles is config/local.php, which is shared already" in said


@pytest.mark.parametrize("path", ["index.php", "index.html"])
def test_the_page_that_visitors_ask_for_is_refused(path: str) -> None:
    assert "no PHP runs from shared ones" in refusal(sharedFiles=[path])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"sharedDirs": ["public"]}, "sharedDirs is public"),
        ({"sharedDirs": ["web"]}, ""),
        ({"sharedDirs": ["public/uploads"]}, ""),
        ({"sharedFiles": ["public/index.php"]}, "sharedFiles is public/index.php"),
        ({"sharedFiles": ["index.php"]}, ""),
    ],
)
def test_a_web_root_is_not_shared_as_a_whole(values: dict[str, list[str]], problem: str) -> None:
    reader = Reader(values, {"sharedDirs": [], "sharedFiles": []})
    read_shared_paths(reader, web_root="public/")
    assert problem in "".join(reader.problems) if problem else not reader.problems


# Releases


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for path in ("index.php", "uploads/a/b.txt", "uploads-old/c.txt", "config/local.php", "config/fixed.php"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def unpacked(content: bytes) -> dict[str, str]:
    """Path to what is there: a link's target, or a file's text."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() else None
            if file or entry.issym():
                found[entry.name] = file.read().decode() if file else f"-> {entry.linkname}"
    return found


def test_a_release_has_links_and_carries_what_it_ships_beside_them(site: Path) -> None:
    assert unpacked(pack(site, [], 64, SHARED)) == {
        "index.php": "index.php",
        "config/fixed.php": "config/fixed.php",
        "uploads-old/c.txt": "uploads-old/c.txt",
        ".php-cluster-shipped/uploads/a/b.txt": "uploads/a/b.txt",
        ".php-cluster-shipped/config/local.php": "config/local.php",
        "uploads": "-> /media/files/shared/uploads",
        "storage/app": "-> /media/files/shared/storage/app",
        "config/local.php": "-> /media/files/shared/config/local.php",
    }


def test_what_is_excluded_is_not_shipped_either(site: Path) -> None:
    found = unpacked(pack(site, ["uploads"], 64, SHARED))
    assert "uploads" in found and not [path for path in found if path.startswith(".php-cluster-shipped/uploads")]


def test_a_release_that_shares_something_else_is_another_one(site: Path) -> None:
    assert pack(site, [], 64) == pack(site, [], 64, SharedPaths())
    assert len({pack(site, [], 64), pack(site, [], 64, SHARED), pack(site, [], 64, SharedPaths(("uploads",)))}) == 3


@pytest.mark.parametrize(
    ("shared", "problem"),
    [
        (SharedPaths(dirs=("index.php",)), "sharedDirs has index.php, but it is no folder in the site"),
        (SharedPaths(files=("uploads",)), "sharedFiles has uploads, but it is no file in the site"),
        (SharedPaths(dirs=("index.php/x",)), "sharedDirs has index.php/x, but index.php is no folder of the site"),
        (SharedPaths(dirs=("link",)), "sharedDirs has link, but it is a link in the site"),
        (SharedPaths(dirs=("link/x",)), "sharedDirs has link/x, but link is no folder of the site"),
        (SharedPaths(dirs=("uploads",)), "the link uploads/out points to ../index.php, outside of the shared uploads"),
    ],
)
def test_what_the_site_has_in_the_way_is_named(site: Path, shared: SharedPaths, problem: str) -> None:
    (site / "link").symlink_to("uploads")
    (site / "uploads" / "out").symlink_to("../index.php")
    with pytest.raises(ConfigError, match=problem):
        pack(site, [], 64, shared)


def test_a_link_inside_of_what_is_shared_goes_along(site: Path) -> None:
    (site / "uploads" / "inside").symlink_to("a/b.txt")
    assert unpacked(pack(site, [], 64, SHARED))[".php-cluster-shipped/uploads/inside"] == "-> a/b.txt"


# The cluster


def test_without_it_nothing_is_there() -> None:
    graph = cluster_graph(phpNodes=2)
    assert files_steps(graph) == set()
    assert "disable_symlinks" not in graph["php1-php"].inputs["stdin"]


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        # A machine in place of a lost one has the folder before its daemon looks for it.
        ("lb2-brick-restore", {"lb1-files-brick", "lb2-files-brick"}),
        ("files-volume-create", {"volume-create", "lb1-brick-restore", "lb2-brick-restore"}),
        ("lb1-files-brick-restore", {"files-volume-create"}),
        # Whoever asks an arbiter without a place for notes makes one.
        ("php1-files-arbiter-notes", {"files-volume-create", "php1-install"}),
        ("php1-arbiter", {"php1-files-arbiter-notes"}),
        # The pool takes one change at a time.
        ("files-volume-arbiter", {"volume-start", "php1-arbiter", "lb2-files-brick-restore"}),
        ("files-volume-options", {"files-volume-arbiter"}),
        ("files-volume-start", {"files-volume-options"}),
        ("php1-files-arbiter-agrees", {"files-volume-heal"}),
        ("php2-files-mount", {"files-volume-start", "php2-mount", "php2-php"}),
        ("php1-site-shared", {"php1-site-staged", "php1-files-mount"}),
        ("php1-site-tried", {"php1-site-shared"}),
        ("php2-site", {"php2-files-mount", "php1-site-tried"}),
        ("files-volume-revoke", {"volume-revoke", "lb1-haproxy", "lb2-haproxy", "files-volume-heal"}),
    ],
)
def test_order(sharing: Graph, later: str, earlier: set[str]) -> None:
    assert earlier <= everything_before(sharing, later)


def test_sessions_wait_for_its_creation_only(sharing: Graph) -> None:
    before = {name for name in everything_before(sharing, "volume-start") if name in sharing}
    assert {name for name in files_steps(sharing) & before if sharing[name].type.startswith("command:")} == {
        "lb1-files-brick",
        "lb2-files-brick",
        "files-volume-create",
        "php1-files-arbiter-notes",
    }


def test_every_node_mounts_it_and_one_brings_what_is_shipped(sharing: Graph) -> None:
    assert [name for name in sharing if name.endswith("-site-shared")] == ["php1-site-shared"]
    for node in ("php1", "php2"):
        text = sharing[f"{node}-files-mount"].inputs["stdin"]
        assert f"FSTAB_LINE='{files_fstab_line()}'" in text and "\nNAME=files\n" in text
        assert "disable_symlinks" in sharing[f"{node}-php"].inputs["stdin"]
    assert "SHARED_DIRS='uploads\nstorage/app\n'" in sharing["php1-site-shared"].inputs["stdin"]


def test_what_is_shared_comes_from_the_release_that_is_unpacked() -> None:
    graph = cluster_graph(phpNodes=2, writableDirs=["cache"], **KEYS)
    named = {
        step: set(re.findall(r"^RELEASE='?(\w+)", graph[step].inputs["stdin"], re.MULTILINE))
        for step in ("php1-site-staged", "php1-site-shared", "php1-site-tried", "php1-site")
    }
    assert len(named["php1-site-staged"]) == 1
    assert set(map(frozenset, named.values())) == {frozenset(named["php1-site-staged"])}, named


def test_the_plain_recipe_has_it_too_without_an_arbiter() -> None:
    graph = cluster_graph(phpNodes=2, profile="article", **KEYS)
    assert "LAYOUT='replica 2'" in graph["files-volume-create"].inputs["stdin"]
    assert not {name for name in graph if "arbiter" in name} - {"volume-arbiter", "files-volume-arbiter"}


@pytest.mark.parametrize("profile", ["safe", "article"])
def test_its_mounts_are_no_sign_of_another_profile(profile: str) -> None:
    known = known_of(cluster_graph(phpNodes=2, profile=profile, **KEYS))
    again = cluster_graph(phpNodes=2, profile=profile, known=known, **KEYS)
    assert not [name for name in again if "handover" in name]


def test_a_site_does_not_wait_until_all_sessions_are_healed(sharing: Graph) -> None:
    assert "volume-heal" not in everything_before(sharing, "php1-site")


@pytest.mark.parametrize(("before", "profile"), [("safe", "article"), ("article", "safe")])
def test_another_layout_waits_until_sessions_are_healed(before: str, profile: str) -> None:
    known = known_of(cluster_graph(phpNodes=2, profile=before, **KEYS))
    graph = cluster_graph(phpNodes=2, profile=profile, known=known, **KEYS)
    assert "volume-heal" in everything_before(graph, "files-volume-arbiter")


def test_an_arbiter_leaves_after_both_volumes_have_let_it_go() -> None:
    known = known_of(cluster_graph(phpNodes=2, **KEYS))
    graph = cluster_graph(phpNodes=2, profile="article", known=known, **KEYS)
    assert {"volume-arbiter", "files-volume-arbiter"} <= everything_before(graph, "php1-arbiter-left")


def test_what_is_shared_no_more_is_known_and_the_volume_stops_when_no_node_asks_it(sharing: Graph) -> None:
    known = known_of(sharing)
    assert no_longer_shared(SharedPaths(("uploads",)), LastUpdate(known)) == ["storage/app", "config/local.php"]
    graph = cluster_graph(phpNodes=2, known=known)
    assert files_steps(graph) == {"php1-files-left", "php2-files-left", "files-volume-stopped"}
    assert {"php1-site", "php2-site", "lb1-haproxy"} <= everything_before(graph, "php1-files-left")
    assert {"php1-files-left", "php2-files-left"} <= everything_before(graph, "files-volume-stopped")
    # Once they are there they stay, as nothing to be changed.
    assert files_steps(cluster_graph(phpNodes=2, known=known_of(graph))) == files_steps(graph)
    assert not [name for name in cluster_graph(phpNodes=2, known=known_of(graph), **KEYS) if "left" in name]


def test_one_more_node_costs_its_mount_and_its_place_on_the_list(sharing: Graph) -> None:
    more = cluster_graph(phpNodes=3, **KEYS)
    assert files_steps(more) - files_steps(sharing) == {"php3-files-mount"}
    changed = {name for name in files_steps(sharing) if more[name].inputs != sharing[name].inputs}
    assert changed == {"files-volume-options", "files-volume-revoke"}


def test_failures_are_noticed_as_quickly_as_by_sessions() -> None:
    timed = [name for name in SAFE_OPTIONS if "time" in name or "keepalive" in name or "interval" in name]
    assert timed and {name: FILES_OPTIONS[name] for name in timed} == {name: SAFE_OPTIONS[name] for name in timed}


def test_php_runs_nothing_from_there() -> None:
    _, plan = planned(phpNodes=1)
    text = nginx_site(plan, {}, 60, WebRules(shares_files=True))
    run = text[text.index("location ~ ^(?<script>") :]
    assert "disable_symlinks if_not_owner from=$document_root;" in run[: run.index("fastcgi_pass")]


@pytest.mark.parametrize(("writable", "shared"), [("storage", "storage/app"), ("var/cache/x", "var"), ("a", "a")])
def test_what_a_release_has_of_its_own_lies_apart(writable: str, shared: str) -> None:
    with pytest.raises(ConfigError, match=f"writableDirs.*\n.*{writable} and {shared} are not"):
        read_settings({"writableDirs": [writable], "sharedDirs": [shared]})
    assert read_settings({"writableDirs": ["var/cache"], "sharedDirs": ["variable"]}).shared
