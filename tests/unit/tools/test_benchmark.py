"""What scripts/bench makes of an event log, of a state and of its measurements; nothing is measured here."""

import asyncio
import json
import random
import subprocess
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark import calls, floor, picture, report
from scripts.benchmark.emulated_aws import calls_table
from scripts.benchmark.ssh_sessions import sessions_of, sessions_table
from scripts.benchmark.timeline import Event, Span, critical_path, kind_of, spans, touched, with_engine

URN = "urn:pulumi:s::php-cluster::"


def event(
    at: float, kind: str, name: str, op: str, *, custom: bool = True, type_: str = "command:local:Command"
) -> Event:
    side = "old" if op == "delete" else "new"
    metadata = {"urn": URN + name, "op": op, "type": type_, side: {"custom": custom}}
    return Event(at, {"sequence": 1, kind: {"metadata": metadata}})


def made(name: str, begin: float, end: float, op: str = "create", **how: Any) -> list[Event]:
    return [event(begin, "resourcePreEvent", name, op, **how), event(end, "resOutputsEvent", name, op, **how)]


def in_time(*pairs: list[Event]) -> list[Event]:
    return sorted((each for pair in pairs for each in pair), key=lambda each: each.at)


def test_a_step_lasts_from_its_beginning_to_its_end() -> None:
    events = in_time(
        made("network", 1, 2), made("lb1-machine", 2.5, 4), made("image", 1, 3), [Event(5, {"summaryEvent": {}})]
    )
    assert [(span.name, span.begin, span.end) for span in spans(events)] == [
        ("network", 1, 2),
        ("image", 1, 3),
        ("lb1-machine", 2.5, 4),
    ]


def test_what_is_no_work_is_no_step() -> None:
    component = made("php1", 1, 9, custom=False, type_="php-cluster:php:PhpNode")
    provider = made("default_1_2_1", 1, 2, type_="pulumi:providers:command")
    unfinished = made("php1-mount", 3, 9)[:1]
    assert spans(in_time(component, provider, unfinished, made("image", 1, 2, "same"))) == []


def test_a_replacement_has_a_step_for_each_half() -> None:
    events = in_time(made("php1-machine", 1, 2, "delete-replaced"), made("php1-machine", 2, 4, "create-replacement"))
    assert [span.seconds for span in spans(events)] == [1, 2]
    assert touched(events) == {"replace": 1}


def test_touched_counts_resources_by_operation() -> None:
    events = in_time(
        made("php3", 1, 2, custom=False, type_="php-cluster:php:PhpNode"),
        made("php3-machine", 1, 2),
        made("lb1-haproxy", 1, 2, "update"),
        made("php1-mount", 1, 2, "same"),
        made("php4-mount", 3, 4, "delete"),
    )
    assert touched(events) == {"create": 2, "update": 1, "delete": 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lb1-peer-probe-php1", "peer-probe"),
        ("php12-mount", "mount"),
        ("lb2-site-answers", "site-answers"),
        ("volume-start", "volume-start"),
        ("floating-ip", "floating-ip"),
    ],
)
def test_a_kind_is_the_same_on_every_machine(name: str, kind: str) -> None:
    assert kind_of(URN + name) == kind


def test_the_engines_own_time_is_before_and_after_the_steps() -> None:
    whole = with_engine([Span(URN + "a", 2, 5), Span(URN + "b", 3, 4)], 6)
    assert [(span.name, span.seconds) for span in (whole[0], whole[-1])] == [("engine starts", 2), ("engine ends", 1)]
    assert sum(span.seconds for span in with_engine([], 6)) == 6


def test_the_critical_path_goes_back_to_what_was_ready_last() -> None:
    work = [
        Span(name, *times) for name, times in {"a": (0, 1), "b": (0, 3), "c": (3, 4), "d": (0, 2), "e": (4, 6)}.items()
    ]
    needs = {"c": {"a", "b"}, "e": {"c", "d", "a key that took no time"}}
    assert [span.urn for span in critical_path(work, needs)] == ["b", "c", "e"]
    assert critical_path([], needs) == []


def secret(value: Any) -> dict[str, Any]:
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(value)}


def resource(name: str, type_: str, needs: Sequence[str] = (), **inputs: Any) -> dict[str, Any]:
    return {"urn": URN + name, "type": type_, "inputs": inputs, "dependencies": [URN + each for each in needs]}


CONNECTION = secret(
    {"host": "198.18.7.11", "user": "root", "hostKey": "ssh-ed25519 AAAA", "privateKey": secret("key\n")}
)
RESOURCES = [
    resource("lb1", "php-cluster:local:LocalMachine"),
    resource("key", "random:index/randomPassword:RandomPassword", ["network"], length=64),
    resource("network", floor.LOCAL_COMMAND, create="network up", environment={"LAB": "abcdef"}),
    resource(
        "lb1-machine", floor.LOCAL_COMMAND, ["key"], create="machine up", stdin=secret("host key"), environment={}
    ),
    resource(
        "lb1-install", floor.REMOTE_COMMAND, ["lb1-machine"], create="bash -s", stdin="text", connection=CONNECTION
    ),
    resource(
        "lb1-archive",
        floor.COPY,
        ["lb1-machine", "lb1-install"],
        connection=CONNECTION,
        remotePath="/var/tmp/site.tar.gz",
        source={"path": "site.tar.gz", "hash": "0"},
    ),
]


def state(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"deployment": {"resources": list(resources)}}


def test_the_floor_does_every_command_after_what_it_needs() -> None:
    shuffled = list(RESOURCES)
    random.Random(7).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    steps = floor.steps_of(state(shuffled))
    assert [step.urn.removeprefix(URN) for step in steps] == ["network", "lb1-machine", "lb1-install", "lb1-archive"]
    done: set[str] = set()
    for step in steps:
        assert step.needs <= done
        done.add(step.urn)


def test_ssh_sessions_are_counted_by_machine() -> None:
    stack = {
        "urn": URN + "stack",
        "type": "pulumi:pulumi:Stack",
        "outputs": {"machines": {"lb1": {"login": secret({"host": "198.18.7.11"})}}},
    }
    assert sessions_of(state([stack, *RESOURCES])) == {"lb1": 2}


def test_sessions_that_grow_with_the_cluster_are_noticed() -> None:
    two = Counter(lb1=9, lb2=5, php1=8, php2=7)
    three = two + Counter(php3=7)
    said = sessions_table({"2+2": two, "2+3": three})
    assert said.splitlines()[2].split() == ["2+3", "9", "5", "8", "7"] and said.endswith("met")
    for grown in (three + Counter(lb1=1), three + Counter(php3=1)):
        assert sessions_table({"2+2": two, "2+3": grown}).endswith("MISSED")
    assert "whatever" not in sessions_table({"2+2": two})


def test_api_calls_that_grow_faster_than_the_cluster_are_noticed() -> None:
    calls = {nodes: Counter(CreateVpc=1, RunInstances=2 + nodes, DescribeVpcs=nodes * nodes) for nodes in (2, 4, 8)}
    said = calls_table(calls)
    assert said.splitlines()[2].split() == ["RunInstances", "4", "6", "10", "1"] and said.endswith("met")
    calls[8]["RunInstances"] += 1
    assert calls_table(calls).endswith("MISSED")
    assert "whatever" not in calls_table({2: calls[2], 4: calls[4]})


def test_a_step_of_the_floor_is_the_programs_own() -> None:
    network, machine, install, archive = floor.steps_of(state(RESOURCES))
    assert (network.command, network.environment, network.host) == ("network up", {"LAB": "abcdef"}, None)
    # The key itself is no command, but what had to be before it has to be before the machine.
    assert machine.needs == {URN + "network"} and machine.stdin == "host key"
    assert install.host == floor.Host("198.18.7.11", "root", "key\n", "ssh-ed25519 AAAA")
    assert (install.command, install.stdin) == ("bash -s", "text")
    assert (archive.command, archive.stdin) == ("cat >/var/tmp/site.tar.gz", Path("site.tar.gz"))


def local_step(name: str, command: str, needs: Sequence[str] = (), stdin: str = "") -> floor.Step:
    return floor.Step(URN + name, command, stdin, {}, None, frozenset(URN + each for each in needs))


@pytest.fixture
def another_loop() -> Iterator[None]:
    """Puts an event loop where the floor took it away with its own; Pulumi's mocks count on one."""
    yield
    asyncio.set_event_loop(asyncio.new_event_loop())


@pytest.mark.usefixtures("another_loop")
def test_the_floor_runs_side_by_side_what_can(tmp_path: Path) -> None:
    out = tmp_path / "out"
    steps = [
        local_step("a", f"sleep 0.3; cat >>{out}", stdin="a"),
        local_step("b", f"sleep 0.3; printf b >>{out}"),
        local_step("c", f"printf c >>{out}", ["a", "b"]),
    ]
    folder = tmp_path / "floor"
    folder.mkdir()
    took = {span.name: span for span in floor.run(steps, folder)}
    assert sorted(out.read_text()[:2]) == ["a", "b"] and out.read_text()[2:] == "c"
    assert took["b"].begin < took["a"].end and took["a"].begin < took["b"].end
    assert took["c"].begin >= max(took["a"].end, took["b"].end)


@pytest.mark.usefixtures("another_loop")
def test_a_failing_step_ends_the_floor_and_is_named(tmp_path: Path) -> None:
    mark = f"sleep 61{time.monotonic_ns()}"
    steps = [
        local_step("waiting", f"{mark}; true"),
        local_step("failing", "sleep 0.2; echo no disk; exit 3"),
        local_step("x", "false", ["failing"]),
    ]
    with pytest.raises(floor.FloorError, match=r"(?s)failing ended with 3.*no disk"):
        floor.run(steps, tmp_path)
    assert mark not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_the_ratio_is_that_of_the_medians_and_has_its_target() -> None:
    lines = report.up_table(
        [
            report.Pair("prebuilt", 2, [12, 40, 14], [10, 10, 11]),
            report.Pair("prebuilt", 4, [30], [10]),
            report.Pair("stock", 2, [55], [50]),
        ]
    ).splitlines()
    assert lines[0].split("  ")[0] == "machines"
    assert "14.0 (12.0-40.0)  10.0 (10.0-11.0)   1.40  at most 1.5 x: met; at most 15 s: met" in lines[1]
    assert lines[2].split()[2:5] == ["30.0", "10.0", "3.00"] and lines[2].endswith("at most 1.5 x: MISSED")
    assert lines[3].split()[2:5] == ["55.0", "50.0", "1.10"] and lines[3].endswith("at most 1.15 x: met")


def test_the_tables_add_up() -> None:
    work = [Span(URN + "lb1-brick", 1, 3), Span(URN + "lb2-brick", 1, 4), Span(URN + "volume-create", 4.5, 5)]
    kinds = report.kinds_table(work, work[:2]).splitlines()
    assert kinds[1].split() == ["brick", "2", "3.00", "3.00", "5.00", "5.00"]
    assert kinds[2].split() == ["volume-create", "1", "0.50", "-", "0.50", "-"]
    path = report.path_table(work[1:], 6).splitlines()
    assert path[2].split() == ["volume-create", "4.50", "0.50", "0.50"]
    assert path[-1].split() == ["in", "all", "6.0", "s", "2.50", "3.50"]


def test_changes_are_judged_by_how_they_grow() -> None:
    def changes(at_2: float, at_12: float, added: int) -> list[report.Change]:
        return [
            report.Change(report.NOTHING, 2, [at_2], Counter()),
            report.Change(report.NOTHING, 12, [at_12], Counter()),
            report.Change(report.ADD, 2, [9], Counter(create=9, update=4)),
            report.Change(report.ADD, 12, [9], Counter(create=added, update=4)),
        ]

    assert report.change_targets(changes(3, 4, 9)).count(": met") == 3
    missed = report.change_targets(changes(6, 9, 19))
    assert missed.count(": MISSED") == 3 and "13 at 2, 23 at 12" in missed and "0.30 s" in missed
    assert "One number of nodes" in report.change_targets([report.Change(report.NOTHING, 4, [1], Counter())])
    table = report.change_table(changes(3, 4, 9)).splitlines()
    assert table[1].split() == ["no", "change,", "2+2", "3.0", "0", "none"]
    assert table[3].endswith("13  9 create, 4 update")


def test_the_picture_has_a_bar_for_each_resource() -> None:
    work = with_engine([Span(URN + "lb1-brick", 1, 3), Span(URN + "lb2-brick", 1, 4), Span(URN + "a<b", 4, 4)], 5)
    svg = ET.fromstring(picture.timelines({"program": work, "floor": work[1:3], "nothing": []}, "2+2 & more"))  # noqa: S314
    bars = [bar for bar in svg.iter("{http://www.w3.org/2000/svg}rect") if len(bar)]
    assert len(bars) == len(work) + 2
    told = {bar[0].text: bar for bar in bars}
    brick = told["lb2-brick: 1.00 s to 4.00 s, 3.00 s"]
    assert brick.get("fill") == told["lb1-brick: 1.00 s to 3.00 s, 2.00 s"].get("fill")
    assert brick.get("fill") != told["a<b: 4.00 s to 4.00 s, 0.00 s"].get("fill")
    assert float(brick.get("width", 0)) == pytest.approx(
        3 / 2 * float(told["lb1-brick: 1.00 s to 3.00 s, 2.00 s"].get("width", 0)), abs=0.2
    )


def test_a_call_costs_what_the_parts_use_beyond_their_rest() -> None:
    rest = calls.Cost(0.001, {"bricks": 0.00001, "mounts": 0.0})
    cost = calls.less_rest(calls.Cost(0.003, {"bricks": 0.00023, "mounts": 0.0001}), rest)
    assert cost.cpu == pytest.approx({"bricks": 0.0002, "mounts": 0.0001})
    assert calls.row("look-up", [cost], Counter(LOOKUP=3001, STATFS=2), 1000) == [
        *("look-up", "200", "100", "300", "3000", "3 LOOKUP"),
    ]
