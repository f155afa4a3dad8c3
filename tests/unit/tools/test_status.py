"""What scripts/status makes of what machines say."""

import time
from typing import Any

import pytest

from scripts import cluster_status
from scripts.cluster_status import DEGRADED, DOWN, WELL, Report, judge, note, timed

SAYS = {
    "lb1": [
        "booted 2026-11-25 10:00",
        "daemon haproxy active",
        "holds_floating_ip 2026-11-25T10:01:02+0000",
        "balances php1 UP",
        "sessions 3",
        "peer lb2 Peer in Cluster (Connected)",
        "brick lb1 0 Connected",
        "brick lb2 0 Connected",
    ],
    "lb2": ["booted 2026-11-25 10:00", "balances php1 UP", "sessions 3"],
    "php1": ["booted 2026-11-25 10:00", "mount mounted", "site 0123456789ab"],
}


def report(changes: dict[str, list[str]] | None = None, site: str = "200", user: str = "root") -> Report:
    """A healthy cluster's report, but for what these machines say instead."""
    made = Report(site, floating_ip={"address": "198.18.7.10", "owners": {}})
    for name, lines in (SAYS | (changes or {})).items():
        made.machines[name] = {"role": "", "address": "", "login": {"user": user}, "daemons": {}}
        made.machines[name]["state"] = "up" if lines else "no route"
        for line in lines:
            note(made, name, line.split())
    judge(made)
    return made


def test_well() -> None:
    assert (report().problems, report().exit_code) == ([], WELL)
    assert "lb1 since 2026-11-25T10:01:02+0000" in cluster_status.screen(report())


def test_the_ipv6_address_goes_with_the_other() -> None:
    def with_ipv6(*owners: str) -> Report:
        made = Report("200", floating_ip={"address": "198.18.7.10", "owners": {"lb1": "?"}})
        made.floating_ip |= {"address6": "fd00:7::10", "owners6": []}
        for owner in owners:
            note(made, owner, ["holds_floating_ip6"])
        judge(made)
        return made

    assert with_ipv6("lb1").problems == []
    assert "floating IP 198.18.7.10 and fd00:7::10: lb1 since ?" in cluster_status.screen(with_ipv6("lb1"))
    assert with_ipv6().problems == ["fd00:7::10 is held by nobody"]
    assert with_ipv6("lb2").problems == ["fd00:7::10 is held by lb2"]


def test_an_old_backup_is_told_and_is_no_fault() -> None:
    hour = 3600
    told = {age: f"backup {int(time.time()) - age * hour}" for age in (20, 60)}
    old = report({"lb1": [*SAYS["lb1"], told[60]]})
    assert (old.notices, old.exit_code) == (["the last complete backup is 2 days old: scripts/backup WHERE"], WELL)
    # The other one was off when the last was made.
    assert report({"lb1": [*SAYS["lb1"], told[60]], "lb2": [*SAYS["lb2"], told[20]]}).notices == []


def test_who_writes_the_log_is_told() -> None:
    told = report({"php1": ["log no yes 7 0 0 0"], "php2": ["log yes yes 7 2500000 3 1796068800"]})
    assert (told.problems, told.sessions) == ([], 7)
    since = time.strftime("%F %T", time.localtime(1796068800))
    written = f"log of sessions: written by php2 since {since}, 2.5 MB in 3 segments\nsessions: 7;"
    assert written in cluster_status.screen(told)


def test_what_limits_have_refused_is_told_and_is_no_fault() -> None:
    told = report({"lb1": [*SAYS["lb1"], "limited 1204 7 2026-11-30 16:20"], "lb2": ["limited 0 0 2026-11-30 16:21"]})
    assert told.problems == []
    assert (
        "refused by limits: lb1 1204 requests, 7 connections since 2026-11-30 16:20; "
        "lb2 0 requests, 0 connections since 2026-11-30 16:21" in cluster_status.screen(told)
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"php1": []}, "php1: no route"),
        ({"lb1": SAYS["lb1"][:2]}, "the floating IP is held by nobody"),
        ({"lb2": [SAYS["lb1"][2]]}, "the floating IP is held by lb1 and lb2"),
        ({"lb2": ["daemon keepalived failed"]}, "lb2: keepalived is failed"),
        ({"lb2": ["balances php1 DOWN 1/2"]}, "lb2 sees php1 DOWN 1/2"),
        ({"lb2": ["peer lb1 Peer Rejected (Connected)"]}, "lb2 sees lb1 as Peer Rejected (Connected)"),
        ({"lb1": [*SAYS["lb1"][:-1], "brick lb2 7 Connected"]}, "the brick of lb2: 7 entries wait to be healed"),
        ({"lb1": [*SAYS["lb1"][:-1], "brick lb2 - Transport endpoint"]}, "the brick of lb2: Transport endpoint"),
        (
            {"lb1": [*SAYS["lb1"], "files_brick lb1 0 Connected", "files_brick lb2 7 Connected"]},
            "the brick with shared files of lb2: 7 entries wait to be healed",
        ),
        ({"php1": ["mount mounted", "files_mount missing"]}, "php1: /media/files is not mounted"),
        ({"php1": ["arbiter_outdated 1"]}, "the arbiter takes the brick of lb2 for outdated"),
        ({"php1": ["mount missing"]}, "php1: /media/sessions is not mounted"),
        ({"php1": ["log no no 0 0 0 0 no room for it"]}, "php1: its session service reaches no writer: no room for it"),
        (
            {"lb1": ["ahead -0.4 0.2", *SAYS["lb1"]], "lb2": ["ahead 4.4 5.1"], "php1": ["ahead -0.1 0.3"]},
            "the clock of lb1 is 4.2 s or more behind that of lb2: both need a time server"
            " (scripts/ssh lb1 apt-get install chrony)",
        ),
        (
            {"lb2": ["used / 40% 3%", "used /session 91% -"]},
            "lb2: 91 % of the room of /session is used: scripts/ssh php1 systemctl start php-cluster-collect",
        ),
        (
            {"php1": ["used / 89% 100%"]},
            "php1: 100 % of the inodes of / is used: scripts/ssh php1 'journalctl --vacuum-size=200M; apt-get clean'",
        ),
        (
            {"lb2": ["may_hold -254"]},
            "lb2 must not hold the floating IP: scripts/ssh lb2 journalctl --unit php-cluster-balancer",
        ),
        (
            {"lb1": [*SAYS["lb1"], f"certificate_ends {int(time.time()) + 3 * 86400 + 43200} 31536000"]},
            "the certificate of lb1 ends in 3 days: set tlsCertificate and tlsKey anew, and pulumi up",
        ),
        (
            {"lb2": ["certificate_ends 1000000000 7776000"]},
            "the certificate of lb2 has ended: set tlsCertificate and tlsKey anew, and pulumi up",
        ),
        (
            {"lb2": ["certificate_ends 1000000000 240", "certificate_of_ca issued"]},
            "the certificate of lb2 has ended: scripts/ssh lb2 journalctl --unit php-cluster-certificate",
        ),
        (
            {"lb2": [f"certificate_ends {int(time.time()) + 9 * 86400} 315360000", "certificate_of_ca issued"]},
            "the certificate of lb2 ends in 8 days: scripts/ssh lb2 journalctl --unit php-cluster-certificate",
        ),
        (
            {"lb2": ["certificate_of_ca awaited"]},
            "lb2 serves a certificate of its own until a CA has issued one",
        ),
        (
            {"lb2": ["certificate_of_ca awaited", "certificate_failed 1796068800 no such name"]},
            f"lb2 got no certificate at {time.strftime('%Y-%m-%d %H:%M', time.localtime(1796068800))}: no such name; "
            "it asks again, and at once by scripts/ssh lb2 /usr/lib/php-cluster/acme-certificate now",
        ),
        ({"lb2": ["maintenance 2026-11-30 16:20"]}, "maintenance is on at lb2 alone: scripts/maintenance on, or off"),
        ({"php2": ["site ffff"]}, "nodes serve different releases of the site: 0123456789ab, ffff"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], problem: str) -> None:
    found = report(changes)
    assert (found.problems, found.exit_code) == ([problem], DEGRADED)


def test_who_is_not_root_is_told_to_use_sudo() -> None:
    found = report({"lb2": ["used / 95% 3%", "certificate_failed 1796068800 no such name"]}, user="admin").problems
    assert [problem.partition("scripts/ssh ")[2] for problem in found] == [
        "lb2 'sudo journalctl --vacuum-size=200M; sudo apt-get clean'",
        "lb2 sudo /usr/lib/php-cluster/acme-certificate now",
    ]


def test_balancers_alone_are_judged_too() -> None:
    made = Report("200", floating_ip={"owners": {"lb2": ""}})
    made.machines["lb2"] = {"state": "up", "daemons": {}, "login": {"user": "root"}}
    note(made, "lb2", ["used", "/session", "95%", "3%"])
    judge(made)
    assert "scripts/ssh php1 systemctl start php-cluster-collect" in made.problems[0]


@pytest.mark.parametrize(
    ("days", "left", "is_said"),
    [
        (7, 7 * 86400 / 3 - 60, False),  # it is about to be renewed
        (7, 7 * 86400 / 3 - 1900, True),
        (90, 14 * 86400 + 60, False),
        (90, 14 * 86400 - 1900, True),
        (1 / 360, 60, False),
        (1 / 360, -60, True),
    ],
)
def test_a_certificate_that_is_not_renewed_in_its_last_third_is_told_of(
    days: float, left: float, is_said: bool
) -> None:
    lasts = int(days * 86400)
    found = report({"lb2": [f"certificate_ends {int(time.time() + left)} {lasts}"]})
    assert bool(found.problems) is is_said
    assert f"certificate: lb2 {int(left // 86400)} days left" in cluster_status.screen(found)


def test_clocks_that_may_agree_are_well() -> None:
    assert report({"lb2": ["ahead -0.4 0.6"], "php1": ["ahead 0.5 1.5"]}).problems == []


def test_a_clock_was_read_between_question_and_answer() -> None:
    now = time.time()
    kind, at_least, at_most = timed(["clock", str(now + 10)], now - 3)
    assert kind == "ahead" and 9 < float(at_least) <= 10 and float(at_most) == pytest.approx(13)


def test_a_site_that_does_not_answer_is_down() -> None:
    assert report(site="503").exit_code == DOWN
    assert report(site="no answer: timed out").problems == ["the site: no answer: timed out"]


def test_a_site_that_is_closed_is_not_down() -> None:
    closed = "maintenance 2026-11-30 16:20"
    found = report({"lb1": [*SAYS["lb1"], closed], "lb2": [closed]}, site="503")
    assert found.problems == ["maintenance is on since 2026-11-30 16:20: scripts/maintenance off"]
    assert found.exit_code == DEGRADED
    # The balancer that has the address is the one that answers.
    assert report({"lb2": [closed]}, site="503").exit_code == DOWN


def test_a_balancer_that_is_off_is_not_told_of_maintenance() -> None:
    found = report({"lb1": [*SAYS["lb1"], "maintenance 2026-11-30 16:20"], "lb2": []}, site="503")
    assert "maintenance is on since 2026-11-30 16:20: scripts/maintenance off" in found.problems


def test_what_is_to_be_known_is_no_fault() -> None:
    found = report({"php1": [*SAYS["php1"], "updates 12 3 2026-11-30"], "lb2": ["updates 0 0 2026-11-30"]})
    assert (found.problems, found.exit_code) == ([], WELL)
    assert found.notices == ["php1: 12 updates, 3 security (known since 2026-11-30): scripts/upgrade"]


def test_machines_that_update_themselves_are_named_and_those_that_do_so_at_once_are_told_apart() -> None:
    found = report(
        {
            "lb1": [*SAYS["lb1"], "own_updates 360 90", "own_reboot"],
            "lb2": ["own_updates 360 90"],
            "php1": [*SAYS["php1"], "own_updates 600 60", "own_reboot 250 10"],
        }
    )
    assert (found.problems, found.exit_code) == ([], WELL)
    lb1, lb2, php1 = found.notices
    when = "unattended-upgrades installs updates, 06:00 to 07:30 UTC"
    assert lb1 == f"lb1: {when}, and boots by itself if they ask for it"
    assert lb2.startswith(f"lb2: {when}; lb1 does so in the same window") and "OnCalendar=02:00 UTC" in lb2
    assert "10:00 to 11:00 UTC and 04:10 to 04:20 UTC, and boots" in php1 and "same window" not in php1


def test_a_rollback_is_told_with_both_ways_out() -> None:
    made = Report("200", floating_ip={"owners": {"lb1": "?"}}, rolled_back={"a" * 64: "b" * 64}, stack="shop")
    judge(made)
    assert made.notices == [
        "the site was rolled back from aaaaaaaaaaaa to bbbbbbbbbbbb: pulumi up with another site ends it, and so does "
        "scripts/release --stack shop rollback aaaaaaaaaaaa"
    ]
