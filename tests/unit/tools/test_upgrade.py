"""scripts/upgrade: which machine comes next, and what it reads from what machines say."""

import json
import subprocess
from pathlib import Path
from typing import cast

import pytest

from components.plan.config_values import NAMESPACE
from components.plan.debian import RELEASES
from scripts import machine_upgrade
from scripts.cluster_status import Report, judge
from scripts.machine_upgrade import HOST_SCRIPT, Config, Facts, Updates, alone, hindrances, parse, parse_updates
from scripts.machines import Machines, RefusalError

D12, D13 = RELEASES[12], RELEASES[13]


def facts(**releases: int) -> Facts:
    everywhere_12 = dict.fromkeys(("lb1", "lb2", "php1", "php2", "php10"), 12)
    return Facts(everywhere_12 | releases, 100000, nfs=False)


@pytest.mark.parametrize(
    ("active", "order"),
    [("lb1", ["php10", "php2", "lb2", "lb1", "php1"]), ("lb2", ["php10", "php2", "lb1", "lb2", "php1"])],
)
def test_the_least_missed_comes_first_and_the_arbiter_last(active: str, order: list[str]) -> None:
    assert facts().left(D13, active) == order


def test_what_is_done_is_left_out_in_either_direction() -> None:
    begun = facts(php10=13, php2=13, lb2=13)
    assert begun.left(D13, "lb1") == ["lb1", "php1"]
    assert begun.left(D12, "lb1") == ["php10", "php2", "lb2"]
    assert facts().left(D12, "lb1") == []


def test_facts_are_read_from_what_machines_say() -> None:
    said = {
        "lb1": "release 12\nop_version 100000\nnfs yes\n",
        "lb2": "release 13\nop_version 100000\n",
        "php1": "release 12\n",
    }
    assert parse(said) == Facts({"lb1": 12, "lb2": 13, "php1": 12}, 100000, nfs=True)


def config(monkeypatch: pytest.MonkeyPatch, **values: str) -> Config:
    told = json.dumps({f"{NAMESPACE}:{key}": {"value": value} for key, value in values.items()})
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, told, ""))
    return Config("dev")


def test_without_a_wish_all_are_to_run_what_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = config(monkeypatch)
    all_13 = facts(**dict.fromkeys(facts().releases, 13))
    assert [nothing.wanted(each) for each in (facts(), all_13)] == [D12, D13]
    # An upgrade that was stopped, and whose wish was taken back.
    with pytest.raises(RefusalError, match=r"run Debian 12 and 13, .*: pulumi config set debian 13$"):
        nothing.wanted(facts(php2=13))
    assert config(monkeypatch, debian="12").wanted(facts(php2=13)) == D12
    with pytest.raises(RefusalError, match="debian is 11, and must be one of 12, 13"):
        config(monkeypatch, debian="11").wanted(facts())
    assert config(monkeypatch, debian="13", substrate="aws").wanted(facts()) is None
    # Machines of others may stay at their own.
    assert config(monkeypatch, substrate="existing").wanted(facts(php2=13)) is None
    assert config(monkeypatch, substrate="existing", debian="13").wanted(facts(php2=13)) == D13


@pytest.mark.parametrize(("op_version", "raised"), [(100000, True), (110000, False)])
def test_the_op_version_is_raised_without_a_wish(
    monkeypatch: pytest.MonkeyPatch, op_version: int, raised: bool
) -> None:
    all_13 = Facts(dict.fromkeys(facts().releases, 13), op_version, nfs=False)
    calls: list[str] = []
    monkeypatch.setattr(machine_upgrade, "ask", lambda _: all_13)
    monkeypatch.setattr(machine_upgrade, "_have", lambda _machines, _names, call: calls.append(call))
    monkeypatch.setattr(machine_upgrade, "wait_until_well", lambda _: None)
    machine_upgrade.finish(cast(Machines, None), config(monkeypatch))
    assert calls == ["raise_op_version 110000"] * raised


DEB822 = """\
# bookworm
Types: deb
URIs: http://mirror.example/bookworm
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/bookworm.gpg
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "deb [arch=amd64] http://security.example/bookworm bookworm-security main\n# deb http://m bookworm main\n",
            "deb [arch=amd64] http://security.example/bookworm trixie-security main\n# deb http://m bookworm main\n",
        ),
        (
            "deb http://m bookworm/updates main\ndeb http://m bookworm main",
            "deb http://m trixie/updates main\ndeb http://m trixie main",
        ),
        (
            DEB822,
            DEB822.replace("bookworm bookworm-updates\n bookworm", "trixie trixie-updates\n trixie"),
        ),
    ],
)
def test_suites_are_renamed_and_nothing_else(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "sources"
    file.write_text(before)
    script = f"{HOST_SCRIPT.read_text()}\nrename_suite bookworm trixie {file}\n"
    subprocess.run(["bash", "-s"], input=script, text=True, check=True)
    assert file.read_text() == after


def test_a_machine_is_on_its_way_until_its_steps_have_run(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.write_text("12\n")
    script = f"{HOST_SCRIPT.read_text()}\nBEGUN={begun}\nfacts\n"
    said = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=True).stdout
    assert parse({"lb1": "release 13\nop_version 100000\n", "lb2": said}).begun == ("lb2",)
    assert parse({"lb1": said, "lb2": said}).releases == {"lb1": 12, "lb2": 12}


def test_an_op_version_is_that_of_the_release() -> None:
    assert [release.op_version for release in (D12, D13)] == [100000, 110000]


def test_updates_are_read_and_told() -> None:
    said = "packages 12\nsecurity 3\nrestart 1\nboot a-1\n"
    assert str(parse_updates(said)) == "12 updates, 3 of them security; restart needed"
    assert [Updates(0, 0, restart, "").any for restart in (False, True)] == [False, True]


@pytest.mark.parametrize(("requests", "is_said"), [(0, False), (1, True)])
def test_a_page_that_stays_open_does_not_keep_a_node_from_its_upgrade(requests: int, is_said: bool) -> None:
    # As HAProxy tells it: the third field is the node's queue, the fifth its requests.
    says = f"admin() {{ echo 'crowded-1,php2,0,0,{requests}'; }}"
    script = f"{HOST_SCRIPT.read_text()}\n{says}\ndrain php2 0\n"
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=True)
    assert ("although php2 has requests under way" in done.stdout) is is_said


@pytest.mark.parametrize(("of_lb2", "hinders"), [("issued", False), ("awaited", True)])
def test_a_ca_that_refuses_hinders_while_one_balancer_alone_has_its_certificate(of_lb2: str, hinders: bool) -> None:
    report = Report("200", floating_ip={"owners": {"lb1": "2026-11-30"}})
    report.machines["lb1"] = {"state": "up", "daemons": {}, "login": {"user": "root"}}
    report.certificate_of_ca = {"lb1": "issued", "lb2": of_lb2}
    report.certificate_failed = {"lb1": {"when": "2026-11-30 20:00", "why": "connection refused"}}
    judge(report)
    assert len(report.problems) == 1
    assert bool(hindrances(report)) is hinders
    report.problems.append("lb2 sees php1 DOWN")
    assert "lb2 sees php1 DOWN" in hindrances(report)


def test_a_stack_is_upgraded_by_one_run_at_a_time(tmp_path: Path) -> None:
    with alone("dev", tmp_path):
        with alone("other", tmp_path):
            pass
        with pytest.raises(RefusalError, match="another scripts/upgrade is at work"), alone("dev", tmp_path):
            pass
    with alone("dev", tmp_path):
        pass
