"""What `scripts/bench sessions` makes of its figures."""

import argparse
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import MagicMock
from xml.etree import ElementTree as ET

import pytest

from components.gluster.volume import volume_layout
from components.php.mount import fstab_line, mount_options
from components.plan import topology
from components.plan.topology import Profile
from components.plan.volume_options import SAFE_OPTIONS
from scripts.benchmark import beside
from scripts.benchmark.sessions import command, measure, operations, picture, report
from scripts.benchmark.sessions.load import Run
from scripts.benchmark.sessions.measure import READ, WRITE, Counted, Sample, part_of
from scripts.benchmark.sessions.stores import STORES, fpm_configuration, nginx_servers


def sample(
    store: str,
    rate: float,
    p99: float,
    *,
    mode: str = WRITE,
    connections: int = 16,
    cpu: Mapping[str, float] | None = None,
) -> Sample:
    run = Run(int(rate * 4), 4.0, p99 / 2, p99, 0, 0, "", 0.4)
    return Sample(store, mode, connections, run, cpu or {"machines lb": 0.002, "machines php": 0.001, "bricks": 0.0015})


ROUNDS = [
    sample("article", 200, 100),
    sample("safe", 300, 90),
    sample("safe", 110, 300),
    sample("article", 100, 200),
    sample("article", 400, 50),
    sample("safe", 400, 60),
]


def test_a_ratio_is_that_of_runs_of_the_same_round() -> None:
    results = report.Results(ROUNDS)
    assert results.ratio(WRITE, 16, "safe", report.rate) == pytest.approx(1.1)
    assert results.ratio(WRITE, 16, "safe", report.p99) == pytest.approx(1.2)
    assert results.ratio(READ, 16, "safe", report.rate) is None


def test_targets_are_judged() -> None:
    said = report.targets(report.Results(ROUNDS))
    assert "x 1.10 (at least 1: met; aim 1.5: MISSED)" in said and "p99 x 1.20 (at most 1: MISSED)" in said
    assert "nothing is said" in report.targets(report.Results(ROUNDS[:1]))


def test_the_price_of_tls_is_told_beside_the_same_without() -> None:
    encrypted = [sample("safe-tls", rate, 120) for rate in (150, 88, 200)]
    said = report.price_of_tls(report.Results([*ROUNDS, *encrypted]))
    assert said == (
        "safe-tls, read-write, 16 connections, beside safe: requests/s x 0.50, p99 x 1.33, CPU per request x 1.00"
    )
    assert report.price_of_tls(report.Results(ROUNDS)) == report.price_of_tls(report.Results(encrypted)) == ""


def test_safe_alone_promises_that_no_answer_is_wrong() -> None:
    wrong = [Sample(s.store, s.mode, 16, dataclasses.replace(s.run, wrong=2, errors=1), s.cpu) for s in ROUNDS]
    assert report.failures(ROUNDS) == 0 and report.failures(wrong) == 3 * 3
    assert report.failures([each for each in wrong if each.store == "article"]) == 0


def test_the_table_has_median_and_range() -> None:
    lines = report.speed_table(report.Results([*ROUNDS, sample("local", 4000, 9)])).splitlines()
    # The fastest first.
    assert [line.split()[2] for line in lines[1:]] == ["local", "safe", "article"]
    assert lines[2].split()[3:] == [
        *("300", "(110-400)", "1.10", "45.0", "(30.0-150.0)", "90.0", "(60.0-300.0)"),
        *("3.00", "2.00", "1.00", "10", "%", "0", "of", "3240"),
    ]
    parts = report.parts_table(report.Results(ROUNDS)).splitlines()
    assert parts[1].split() == ["read-write,", "article", "1.50", *["0.00"] * 6, "1.50"]


PROFILE = (
    """<cliOutput><volProfile><volname>sessions</volname><brickCount>2</brickCount>{bricks}</volProfile></cliOutput>"""
)
BRICK = """<brick><brickName>{name}</brickName>
<cumulativeStats><fopStats><fop><name>LOOKUP</name><hits>999</hits></fop></fopStats></cumulativeStats>
<intervalStats><fopStats>
<fop><name>LOOKUP</name><hits>{lookups}</hits><avgLatency>9.0</avgLatency></fop>
<fop><name>WRITE</name><hits>10</hits></fop><fop><name>RELEASE</name><hits>50</hits></fop>
</fopStats></intervalStats></brick>"""


def test_operations_are_those_of_the_interval() -> None:
    text = PROFILE.format(
        bricks=BRICK.format(name="lb1:/session/brick", lookups=30) + BRICK.format(name="lb2:/session/brick", lookups=20)
    )
    assert operations.counted(text) == {
        "lb1:/session/brick": Counter(LOOKUP=30, WRITE=10),
        "lb2:/session/brick": Counter(LOOKUP=20, WRITE=10),
    }
    lines = report.operations_table(
        [Counted("safe", WRITE, {"LOOKUP": 2.5, "WRITE": 3.0, "STATFS": 0.01}), Counted("article", READ, {"OPEN": 2.0})]
    ).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["LOOKUP", "2.5", "0.0"],
        ["OPEN", "0.0", "2.0"],
        ["WRITE", "3.0", "0.0"],
        ["all", "5.5", "2.0"],
    ]


@pytest.mark.parametrize(
    ("machine", "service", "part"),
    [
        ("lb1", "-", "machines lb"),
        ("php12", "-", "machines php"),
        ("php1", "glusterd.service", "bricks"),
        ("php2", "media-sessions.mount", "mounts"),
        ("php2", "media-bench\\x2darticle.mount", "mounts"),
        ("lb1", "redis-server@redis-forced.service", "Redis"),
        # The slice of all of them, whose time is theirs.
        ("lb1", "system-redis\\x2dserver.slice", ""),
        ("lb2", "ssh.service", ""),
    ],
)
def test_each_service_belongs_to_a_part(machine: str, service: str, part: str) -> None:
    assert part_of(machine, service) == part


def test_stores_differ_in_settings_for_sessions_only() -> None:
    texts = {guarded: fpm_configuration(STORES.values(), 8, guarded=guarded) for guarded in (True, False)}
    pools = {pool.partition("]")[0]: pool for text in texts.values() for pool in text.split("\n[")[1:]}
    assert set(pools) == set(STORES)
    assert "[safe]" in texts[True] and "[article]" in texts[False]
    assert fpm_configuration([STORES["safe"]], 8, guarded=False) == ""
    common = {
        name: [line for line in pool.replace(name, "NAME").splitlines() if not line.startswith("php_admin_value")]
        for name, pool in pools.items()
    }
    assert all(lines == common["safe"] for lines in common.values())
    assert "php_admin_value" not in pools["safe-log"]
    assert "php_admin_value[session.save_path] = /media/bench-article\n" in pools["article"]
    assert all(f"server_name {name};" in nginx_servers(STORES.values()) for name in STORES)


def test_each_redis_is_a_server_of_its_own() -> None:
    plain, forced, pair = (STORES[name].redis for name in ("redis", "redis-forced", "redis-pair"))
    assert plain is not None and forced is not None and pair is not None
    assert len({redis.port for redis in (plain, forced, pair)}) == 3
    assert plain.servers == {"lb1": ()}
    assert forced.servers == {"lb1": ("appendonly yes", "appendfsync always")}
    # PHP speaks to the first; the other one has what WAIT waits for.
    assert pair.servers == {"lb1": (), "lb2": (f"replicaof lb1 {pair.port}",)}
    assert pair.address == f"lb1:{pair.port}" == STORES["redis-pair"].settings["session.save_path"]
    assert "session.save_handler" not in STORES["redis-pair"].settings
    assert STORES["redis-forced"].settings["session.save_path"] == f"tcp://{forced.address}"


def test_tls_is_the_only_difference_between_two_stores() -> None:
    volume = STORES["safe-tls"].made
    assert volume is not None and volume.tls and volume.mount == mount_options(Profile.SAFE)
    assert volume.options == {**SAFE_OPTIONS, "client.ssl": "on", "server.ssl": "on"}
    # Its arbiter would be asked when something fails.
    assert f"{volume.layout} thin-arbiter 1" == volume_layout(topology.plan("198.18.7.0/24", 2, Profile.SAFE))
    assert STORES["article"].made is not None and not STORES["article"].made.tls
    assert STORES["safe-tls"].settings == {**STORES["safe"].settings, "php_cluster.folder": volume.mount_point}


def test_the_volume_is_mounted_as_the_article_does() -> None:
    assert STORES["article"].made is not None
    assert STORES["article"].made.mount == mount_options(Profile.ARTICLE) == "defaults,_netdev"
    assert all(f" {mount_options(profile)} " in fstab_line(profile) for profile in Profile)


def test_the_picture_shows_each_group_in_its_place() -> None:
    svg = ET.fromstring(picture.prices([*ROUNDS, sample("local", 4000, 9)], "price & more"))  # noqa: S314
    dots = [float(dot.get("cx", 0)) for dot in svg.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(dots) == 2 * 3
    speed = dots[::2]
    # article 200, safe 300, local 4000 requests/s
    assert speed[0] < speed[1] < speed[2]
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "45.0 to 90.0" in words and "read-write, 16 connections" in words and "price & more" in words


def test_all_runs_are_kept() -> None:
    kept = json.loads(json.dumps(report.as_json(ROUNDS, [Counted("safe", WRITE, {"OPEN": 3.0})], {"cores": 2})))
    assert len(kept["runs"]) == len(ROUNDS) and kept["runs"][0]["run"]["p99"] == 100
    assert kept["operations"][0]["operations"] == {"OPEN": 3.0} and kept["box"]["cores"] == 2


@pytest.mark.parametrize(("wrong", "status"), [(0, 0), (3, 1)])
def test_the_command_prints_and_keeps_what_was_measured(
    wrong: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [Sample(s.store, s.mode, 16, dataclasses.replace(s.run, wrong=wrong), s.cpu) for s in ROUNDS]
    stack = MagicMock()
    stack.return_value.__enter__.return_value.up.return_value.seconds = 12.0
    monkeypatch.setattr(command, "BenchStack", stack)
    monkeypatch.setattr(measure, "check_box", lambda: None)
    monkeypatch.setattr(measure, "measure", lambda *_, **__: (samples, [Counted("safe", WRITE, {"OPEN": 3.0})]))
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    asked = parser.parse_args(["sessions", "--stores", "article,safe", "--output", str(tmp_path / "out")])
    assert asked.measure(asked) == status
    said = capsys.readouterr().out
    assert "x 1.10 (at least 1: met" in said and "OPEN" in said
    assert ("wrong answers: it must not" in said) == bool(wrong)
    assert ET.parse(tmp_path / "out" / "sessions.svg").getroot().get("width") == "1000"  # noqa: S314
    assert len(json.loads((tmp_path / "out" / "sessions.json").read_text())["runs"]) == len(samples)
    with pytest.raises(SystemExit):
        parser.parse_args(["sessions", "--stores", "memcached"])


def test_two_clusters_are_compared_round_by_round() -> None:
    samples = [
        sample(name, speed, latency)
        for name, speed, latency in (
            (beside.HERE, 100, 50),
            (beside.THERE, 200, 50),
            (beside.THERE, 400, 100),
            (beside.HERE, 800, 150),
            (beside.HERE, 300, 20),
            (beside.THERE, 300, 10),
        )
    ]
    said = beside.comparison(samples).splitlines()
    assert [re.split("  +", line)[-2] for line in said] == [
        "here by there",
        "1.000 (0.500-2.000)",
        "1.500 (1.000-2.000)",
        "1.000 (1.000-1.000)",  # CPU time
        "1.000 (1.000-1.000)",  # of bricks
        "1.000 (1.000-1.000)",  # of what no part has
    ]
