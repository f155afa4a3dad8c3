"""The judge of tests/faults: an honest history passes, and each way to break the promise is seen."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from components.plan import topology
from components.plan.topology import Profile
from tests.faults import alerts, checker, faults, hostile, redis_rig, report
from tests.faults.alerts import Alerts, Firing
from tests.faults.history import CONNECTION, NO_ANSWER, SERVED, Attempt, History
from tests.faults.rig import PHP_NODES, SERVERS
from tests.faults.trial import Trial
from tests.prometheus import MONITORING


@st.composite
def honest(draw: st.DrawFn) -> History:
    """What clients meet of a store that loses nothing: of some answers only, that is.

    Several clients share a session; requests overlap, and take effect one after the other between begin and end.
    """
    history = History()
    for session in ("one", "two"):
        held: list[str] = []
        moment = 0.0
        for number in range(draw(st.integers(0, 8))):
            moment += draw(st.floats(0.01, 2))
            begin, end = moment - draw(st.floats(0.001, 1)), moment + draw(st.floats(0.001, 1))
            outcome = draw(st.sampled_from([SERVED, SERVED, NO_ANSWER, CONNECTION, "503"]))
            if outcome in (SERVED, NO_ANSWER) or draw(st.booleans()):
                held.append(f"{session}:{number}")
            count = len(held) if outcome == SERVED else 0
            history.attempts.append(
                Attempt(begin, end, f"client {number % 3}", session, f"{session}:{number}", begin, outcome, count)
            )
        history.held[session] = [held, list(held)]
    history.attempts.sort(key=lambda attempt: attempt.end)
    return history


def told(history: History) -> list[Attempt]:
    return [attempt for attempt in history.attempts if attempt.served]


@given(honest())
def test_an_honest_history_is_believed(history: History) -> None:
    verdict = checker.judge(history)
    assert verdict.violations == {} and verdict.repeated == ()
    assert verdict.acknowledged == len(told(history))


@given(honest(), st.data(), st.booleans())
def test_a_lost_update_is_seen(history: History, data: st.DataObject, everywhere: bool) -> None:
    assume(told(history))
    victim = data.draw(st.sampled_from(told(history)))
    readings = history.held[victim.session]
    for reading in readings if everywhere else readings[:1]:
        reading.remove(victim.update)
    verdict = checker.judge(history)
    assert verdict.lost == (victim.update,)
    assert verdict.disputed == (() if everywhere else (victim.session,))


@given(honest(), st.data())
def test_an_older_state_over_a_newer_one_is_seen(history: History, data: st.DataObject) -> None:
    """Even if in the end all is there: two nodes went on from the same state for a while."""
    pairs = [
        (one, other)
        for one in told(history)
        for other in told(history)
        if one.session == other.session and other.begin > one.end
    ]
    assume(pairs)
    before, after = data.draw(st.sampled_from(pairs))
    history.attempts[history.attempts.index(after)] = replace(after, count=before.count)
    assert after.update in checker.judge(history).outdated


@given(honest(), st.sampled_from(["never asked for", "two:0", "one:0"]), st.sampled_from(["one", "two"]))
def test_an_invented_update_is_seen(history: History, invented: str, session: str) -> None:
    """One that nobody sent, and one that belongs to another session."""
    assume(not invented.startswith(session))
    history.held[session][0].append(invented)
    assert checker.judge(history).invented == (invented,)


@given(honest(), st.data())
def test_an_update_made_twice_is_told_apart(history: History, data: st.DataObject) -> None:
    assume(told(history))
    victim = data.draw(st.sampled_from(told(history)))
    for reading in history.held[victim.session]:
        reading.append(victim.update)
    verdict = checker.judge(history)
    assert verdict.repeated == (victim.update,) and verdict.violations == {}


@given(honest(), st.sampled_from([{"count": 1}, {"replaced": True}]))
def test_a_session_that_began_anew_is_seen(history: History, change: dict[str, int | bool]) -> None:
    mine = [attempt for attempt in told(history) if attempt.session == "one"]
    assume(len(mine) > 1 and mine[-1].begin > mine[0].end)
    history.attempts[history.attempts.index(mine[-1])] = replace(mine[-1], **change)  # type: ignore[arg-type]
    assert checker.judge(history).reset == ("one",)


@given(honest())
def test_a_session_that_nobody_can_read_is_seen(history: History) -> None:
    assume(any(attempt.session == "two" for attempt in told(history)))
    history.held["two"] = []
    verdict = checker.judge(history)
    assert verdict.unread == ("two",) and verdict.lost == ()
    del history.held["two"]
    assert checker.judge(history).unread == ("two",)


@given(honest())
def test_a_history_survives_its_file(history: History) -> None:
    assert History.from_json(json.loads(json.dumps(history.to_json()))) == history


def asked(begin: float, end: float, outcome: str = SERVED, client: str = "a", since: float | None = None) -> Attempt:
    return Attempt(begin, end, client, "one", f"{client}{begin}", begin if since is None else since, outcome)


def test_times_are_counted_from_the_fault() -> None:
    history = History(
        [
            asked(0, 1),
            asked(4, 4.5, "503", client="early"),
            asked(9, 11, NO_ANSWER, client="b"),
            asked(10.5, 10.7, "503"),
            asked(11.1, 13.1, NO_ANSWER, client="b", since=9),
            asked(10.8, 13.5, since=10.5),
            asked(13.2, 14, client="b", since=9),
            asked(21, 21.2, CONNECTION, client="c"),
            asked(22, 22.5, client="c", since=21),
        ],
        fault=10,
        restore=20,
        restored=20.5,
    )
    phases = checker.phases(history)
    assert phases.before.errors == {"503": 1}
    assert phases.in_flight == {NO_ANSWER: 1}
    assert phases.during.errors == {"503": 1, NO_ANSWER: 1}
    assert phases.during.served_after == pytest.approx(1.1)
    assert phases.during.longest_wait == pytest.approx(5)
    # From 14 to the end of the span nobody asked, and nobody was answered: a stall as far as one can tell.
    assert phases.during.longest_stall == pytest.approx(6)
    assert phases.after.errors == {CONNECTION: 1}
    assert phases.after.served_after == pytest.approx(1)


def test_a_client_that_is_never_served_again_has_waited_until_the_end() -> None:
    history = History([asked(11, 13, NO_ANSWER), asked(13, 15, NO_ANSWER, since=11)], fault=10, restore=20)
    assert checker.phases(history).during.longest_wait == pytest.approx(4)


SERVED_AT_ONCE = [asked(8, 9), asked(11, 12), asked(31, 32)]


def trial(
    name: str = "one-way-to-php2", profile: str = "safe", attempts: list[Attempt] | None = None, **then: Any
) -> Trial:
    history = History(SERVED_AT_ONCE if attempts is None else attempts, fault=10, restore=30, restored=30)
    return Trial(name, profile, "seed", history, **{"healed": 1.0, **then})


def test_a_missed_target_is_told() -> None:
    late = [asked(at, at + 0.5, "503", client="late") for at in (14, 15)]
    late_again = [asked(at, at + 0.5, CONNECTION, client="late") for at in (34, 35)]
    assert report.row(trial()).misses == []
    assert report.row(trial(attempts=SERVED_AT_ONCE + late)).misses == ["requests fail until 5.0 s"]
    [said] = report.row(trial(attempts=SERVED_AT_ONCE + late_again)).misses
    assert said == "requests fail until 5.0 s after the restoration"
    assert report.row(trial(healed=31.0)).misses == ["not healed in time"]
    assert report.row(trial(repaired="volume-start")).misses == ["up had something to do afterwards"]
    assert report.row(trial(problems=["2 owners"])).misses == ["2 owners"]


def test_an_alert_that_is_missing_or_stays_is_told() -> None:
    def told(**raised: Firing) -> list[str]:
        return report.row(trial("power-off-active", alerts=raised)).misses

    assert told(OneMoreFailureStopsService=Firing(9.0, 4.0), MachineDown=Firing(12.0, 0.0)) == []
    assert told() == ["OneMoreFailureStopsService was not raised"]
    assert told(OneMoreFailureStopsService=Firing(9.0, None)) == ["OneMoreFailureStopsService has not cleared"]
    # The machines remember it for minutes.
    assert told(OneMoreFailureStopsService=Firing(9.0, 4.0), SessionsRefused=Firing(9.0, None)) == []
    # Nobody looked, or nothing need be raised.
    assert report.row(trial("power-off-active")).misses == report.row(trial("switch", alerts={})).misses == []


def test_what_was_raised_survives_its_file() -> None:
    done = trial(alerts={"MachineDown": Firing(12.0, None)})
    assert Trial.from_json(json.loads(json.dumps(done.to_json()))) == done
    stored = trial().to_json()
    del stored["alerts"]
    assert Trial.from_json(stored).alerts is None


def test_alerts_are_those_that_began_after_the_fault() -> None:
    def ask(expression: str) -> list[dict[str, Any]]:
        def named(name: str, part: str, *moments: float) -> dict[str, Any]:
            labels = {"alertname": f"PhpCluster{name}", "part": part}
            return {"metric": labels, "values": [[at, "1"] for at in moments]}

        begun = [named("OneMore", "quorum", 112, 113), named("OneMore", "copies", 110, 131)]
        remembered = [named("SessionsRefused", "", 105, 140)]
        return [*remembered, *([*begun, named("Other", "", 100, 101)] if "[" in expression else [])]

    raised = Alerts(ask).since(100, 130, {"Other"})
    assert raised == {"OneMore": Firing(10, 2), "SessionsRefused": Firing(5, None)}


def test_in_a_trial_the_same_rules_need_less_patience() -> None:
    own = (MONITORING / "alerts.yml").read_text()
    [rules], [sooner] = (yaml.safe_load(text)["groups"] for text in (own, alerts.faster(own)))
    for rule, changed in zip(rules["rules"], sooner["rules"], strict=True):
        assert changed.keys() == rule.keys()
        assert changed["expr"] == rule["expr"].replace("[5m]", "[30000ms]")
        assert ("for" in rule) == (changed.get("for") != rule.get("for"))
    patience = {rule["alert"]: rule["for"] for rule in sooner["rules"] if "for" in rule}
    assert patience["PhpClusterOneMoreFailureStopsService"] == "3000ms"
    assert patience["PhpClusterHealPending"] == "90000ms"


def test_each_alert_that_a_fault_must_raise_is_there() -> None:
    [group] = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    named = {rule["alert"].removeprefix("PhpCluster") for rule in group["rules"] if "alert" in rule}
    assert {fault.alert for fault in faults.FAULTS} - {""} <= named
    assert alerts.REMEMBERED.keys() <= named


def test_what_others_notice_of_hostile_clients_is_told() -> None:
    def asked_for(seconds: float, balancer: str = "lb1") -> list[str]:
        before = [replace(asked(at / 10, at / 10 + 0.1), balancer="lb1") for at in range(90)]
        during = [replace(asked(10 + at / 10, 10 + at / 10 + 0.1), balancer="lb1") for at in range(97)]
        slow = [replace(asked(20, 20 + seconds), balancer=balancer) for _ in range(3)]
        return report.row(trial("slow-headers", attempts=before + during + slow)).misses

    assert asked_for(0.29) == []
    assert asked_for(0.5) == ["p99 is 5.0 times that of before"]
    assert asked_for(0.1, balancer="lb2") == ["the floating IP has moved"]
    # One in a hundred may be slow.
    one = [asked(at / 10, at / 10 + 0.1) for at in [*range(90), *range(100, 250)]] + [asked(20, 22)]
    assert report.row(trial("slow-headers", attempts=one)).misses == []
    # What other faults do to the time of an answer is no promise.
    assert report.row(trial(attempts=[asked(8, 8.1), asked(11, 13)])).misses == []


def test_hostile_clients_have_addresses_of_their_own() -> None:
    sources = hostile.sources("198.18.5.10")
    assert len(set(sources)) == hostile.SOURCES and all(each.startswith("198.18.5.2") for each in sources)
    cluster = topology.plan("198.18.5.0/24", 2, Profile.SAFE)
    assert not {machine.address for machine in cluster.machines} & set(sources)


def test_a_checker_that_sees_the_article_lose_nothing_is_not_believed() -> None:
    rows = [report.row(trial(fault.name, profile="article")) for fault in faults.FAULTS if "article" in fault.profiles]
    assert not report.is_credible(rows)
    assert report.is_credible([*rows[1:], report.row(trial(rows[0].trial.fault, profile="redis"))])
    # Some faults alone need not cost anything.
    assert report.is_credible(rows[:3]) and report.is_credible([])


def test_every_fault_has_a_name_of_its_own_and_the_quick_ones_are_among_them() -> None:
    assert len(set(faults.ALL)) == len(faults.ALL)
    assert [fault.name for fault in faults.named(faults.QUICK)] == list(faults.QUICK)


def test_a_fault_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="there is no fault fire; there are: power-off-active, "):
        faults.named(["fire"])


def test_each_profile_has_faults_and_the_quick_ones_are_for_the_default_one() -> None:
    of = {profile: {fault.name for fault in faults.FAULTS if profile in fault.profiles} for profile in faults.PROFILES}
    assert of["safe"] > of["article"] and of["redis-strict"] == of["redis"]
    assert set(faults.QUICK) <= of["safe"]
    assert of["redis"] - of["safe"] == {"stop-redis", "kill-redis", "upgrade-redis", "switch-redis"}
    assert {"power-off-active", "cut-active-5s", "one-way-to-active", "switch"} <= of["redis"]


class ToldRig(redis_rig.RedisRig):
    """Redis on machines that say what a test has them say.

    Attributes:
        masters: Machine to the address that its Sentinel names.
        roles: Balancer to what its Redis says of itself.
        servers: PHP node to the state of each balancer's Redis, as its HAProxy has it.
    """

    def __init__(self) -> None:
        self.outputs = {
            "floatingIp": "198.18.0.10",
            "machines": {f"lb{n}": {"address": f"198.18.0.{n}"} for n in (1, 2)},
        }
        self.masters = dict.fromkeys(redis_rig.SENTINELS, "198.18.0.1")
        self.roles = {
            "lb1": "role:master\nslave0:ip=198.18.0.2,port=6379,state=online,offset=9,lag=0",
            "lb2": "role:slave\nmaster_link_status:up",
        }
        self.servers = {node: {"lb1": "UP", "lb2": "DOWN"} for node in PHP_NODES}

    def inside(self, machine: str, command: str) -> str:
        if command == redis_rig.MASTER_OF_SENTINEL:
            return self.masters[machine]
        if command == redis_rig.REPLICATION:
            return self.roles[machine]
        if command == SERVERS:
            nodes = "".join(f"php,{node},UP\n" for node in PHP_NODES)
            return "".join(f"redis,{name},{state}\n" for name, state in self.servers.get(machine, {}).items()) or nodes
        return f"inet {self.address}/24" if machine == "lb1" else ""


def test_redis_is_whole_when_all_agree_on_one_master() -> None:
    rig = ToldRig()
    assert rig.complaints() == [] and rig.pending() == 0


@pytest.mark.parametrize(
    ("part", "who", "says", "complaint"),
    [
        ("masters", "php1", "198.18.0.2", "Sentinels name as master: lb1: lb1, lb2: lb1, php1: lb2"),
        ("masters", "lb2", "", "Sentinels name as master: lb1: lb1, lb2: , php1: lb1"),
        ("roles", "lb1", "role:master\nslave0:state=wait_bgsave", "lb1 has no replica"),
        ("roles", "lb2", "role:master", "lb2 does not follow"),
        ("servers", "php2", {"lb1": "UP", "lb2": "UP"}, "php2 takes lb1 and lb2 for the master"),
        ("servers", "php1", {"lb1": "DOWN", "lb2": "DOWN"}, "php1 takes nobody for the master"),
    ],
)
def test_what_is_wrong_with_redis_is_named(part: str, who: str, says: Any, complaint: str) -> None:
    rig = ToldRig()
    getattr(rig, part)[who] = says
    assert rig.complaints() == [complaint]
    assert (rig.pending() == 0) == (part == "servers")
