"""The status page: what HAProxy serves of it, what a balancer notes of changes. tests/stack has a browser look."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
from typing import Any

import pytest

from components.balancer.load_balancer import haproxy_configuration
from components.balancer.status_page import page_values
from components.plan import topology
from components.plan.topology import Profile
from components.steps.host_scripts import HOST_SCRIPTS
from scripts.cluster_status import CERTIFICATE_DAYS, CERTIFICATE_SHARE, RENEWAL_SECONDS

PLAN = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
FOLDER = HOST_SCRIPTS / "balancer"
NOW = 1_796_000_000


def _load() -> Any:
    loader = importlib.machinery.SourceFileLoader("cluster_changes", str(FOLDER / "cluster-changes"))
    spec = importlib.util.spec_from_loader("cluster_changes", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


changes = _load()


@pytest.mark.parametrize("kind", ["html", "css", "js"])
def test_the_page_fits_into_one_answer_and_asks_nobody_else(kind: str) -> None:
    text = (FOLDER / f"status-page.{kind}").read_text()
    # HAProxy sends what fits into its buffer of 32 KiB, with the headers.
    assert len(text.encode()) < 30_000
    assert re.findall(r"https?://[^\"` ]+", text) == (["http://www.w3.org/2000/svg"] * text.count("w3.org"))


def test_a_certificate_ends_for_the_page_when_it_does_for_status() -> None:
    said = f"CERTIFICATE_DAYS = {CERTIFICATE_DAYS}, CERTIFICATE_SHARE = 1 / 3, RENEWAL_SECONDS = {RENEWAL_SECONDS};"
    assert f"const {said}" in (FOLDER / "status-page.js").read_text() and CERTIFICATE_SHARE == 1 / 3


def test_it_is_told_to_those_who_may_ask_for_metrics_and_to_nobody_else() -> None:
    def served(*, metrics: bool) -> str:
        return haproxy_configuration(PLAN, 0, "hidden", tls=False, request_seconds=60, metrics=metrics)

    assert "told" not in served(metrics=False) and "status-page" not in served(metrics=False)
    *_, statistics, metrics = re.split(r"^(?=frontend )", served(metrics=True), flags=re.MULTILINE)
    assert metrics.startswith("frontend metrics") and "path /page.js" in metrics and "status-page" not in statistics
    # What a balancer tells of itself, it tells both balancers.
    assert "deny status 404 if told !{ src 127.0.0.0/8 198.18.7.12 }" in statistics
    # Whatever browsers say of caches, and by whichever name they come: HAProxy looks at both.
    told = statistics.partition("backend changes\n")[2] or metrics.partition("backend changes\n")[2]
    assert re.findall(r"^    http-re.*", told, re.MULTILINE)[-2:] == [
        "    http-response set-header Cache-Control max-age=2",
        "    http-response cache-store changes",
    ]
    assert told.index("Host changes") < told.index("del-header ^(cache-control|pragma)$") < told.index("cache-use")
    pattern = re.search(r"path -m reg (\S+) }", metrics)
    assert pattern is not None
    asked = ("/told/lb2/changes", "/told/php2/machine", "/told/php3/machine", "/told/lb1/owner", "/told/lb1/machine/x")
    assert [bool(re.search(pattern[1], path)) for path in asked] == [True, True, False, False, False]


def test_it_knows_the_machines_and_where_else_to_ask() -> None:
    known = json.loads(page_values(PLAN, 1)["page_cluster"])
    assert (known["self"], known["peer"]) == ("lb2", "http://198.18.7.11:8407")
    assert [*known["balancers"], *known["nodes"]] == list(known["addresses"]) == ["lb1", "lb2", "php1", "php2"]


STATISTICS = """\
# pxname,svname,qcur,req_tot,dreq,dcon,dses,hrsp_5xx,status,lastchg,downtime,chkdown,rtime,qtime,
site,FRONTEND,,900,12,3,1,2,OPEN,,,,,,
php,php1,0,,,,,0,UP,500,0,0,9,0,
php,php2,0,,,,,0,NOLB 1/2,4,70,3,9,0,
php,BACKEND,5,,,,,0,UP,500,0,0,9,1,
in_turn,BACKEND,2,,,,,0,UP,500,0,0,9,1,
peer,lb2,0,,,,,0,DOWN 1/2,7,7,1,0,0,

"""


def test_haproxy_is_understood() -> None:
    table = changes.rows(STATISTICS)
    state, since, downs = changes.of_haproxy(table, NOW)
    assert state == {"node/php1": "up", "node/php2": "silent", "peer": "down"}
    assert (since["peer"], downs["php2"]) == (NOW - 7, [3, 70])
    seen = changes.visitors(table)
    assert seen | {"requests": 900, "errors": 2, "refused": 12, "closed": 4, "waiting": 7, "answer_ms": 9} == seen
    assert changes.rows("") == {}


def known(state: dict[str, str], looked: int = NOW - 15, **more: Any) -> dict[str, Any]:
    return {"looked": looked, "state": state, "downs": {}, "changes": []} | more


def after(before: dict[str, Any] | None, state: dict[str, str], **more: Any) -> list[Any]:
    kept = changes.noted(before, state, more.get("since", {}), more.get("downs", {}), NOW, lambda last, now: now - 3)
    assert kept["looked"] == NOW and kept["state"].items() >= state.items()
    return list(kept["changes"])


def test_the_first_look_says_that_nothing_was_known() -> None:
    assert after(None, {"peer": "up"}) == [[NOW, "watched", "no", "yes"]]


def test_a_change_is_noted_at_its_own_time() -> None:
    before = known({"peer": "up", "address": "no", "ready": "yes"})
    now = {"peer": "down", "address": "yes", "ready": "yes"}
    # HAProxy may be asked between two looks of its own: no change is older than the look before.
    for peer, expected in ((NOW - 9, NOW - 9), (NOW - 99, NOW - 15), (NOW + 9, NOW)):
        found = after(before, now, since={"peer": peer})
        assert sorted(found) == sorted([[expected, "peer", "up", "down"], [NOW - 3, "address", "no", "yes"]])
    assert after(known(now), now) == []


def test_what_cannot_be_seen_meanwhile_changes_from_what_it_was() -> None:
    before = known({"node/php1": "up", "haproxy": "up"})
    kept = changes.noted(before, {"haproxy": "down"}, {}, {}, NOW)
    assert kept["state"] == {"node/php1": "up", "haproxy": "down"}
    assert after(kept | {"looked": NOW - 15}, {"node/php1": "down", "haproxy": "up"})[-2:] == [
        [NOW, "haproxy", "down", "up"],
        [NOW, "node/php1", "up", "down"],
    ]


def test_a_node_that_went_and_came_between_two_looks_is_noted() -> None:
    up, since = {"node/php1": "up"}, {"node/php1": NOW - 2}
    before = known(up, downs={"php1": [1, 30]})
    assert after(before, up, since=since, downs={"php1": [2, 34]}) == [
        [NOW - 6, "node/php1", "up", "down"],
        [NOW - 2, "node/php1", "down", "up"],
    ]
    # A HAProxy that has just been started counts from 0.
    assert after(before, up, since=since, downs={"php1": [0, 0]}) == []


def test_a_look_that_is_late_says_what_is_not_known() -> None:
    before = known({"address": "yes"}, NOW - 500)
    assert after(before, {"address": "no"}) == [
        [NOW - 500, "watched", "yes", "no"],
        [NOW - 3, "address", "yes", "no"],
        [NOW, "watched", "no", "yes"],
    ]


def test_it_keeps_a_day_and_so_many() -> None:
    old = [[NOW - changes.DAY - 1, "peer", "up", "down"], [NOW - 60, "peer", "down", "up"]]
    assert after(known({}, changes=old), {}) == old[1:]
    many = [[NOW - 500 + each, "peer", "up", "down"] for each in range(450)]
    kept = many[1 - changes.MOST :]
    first = [kept[0][0], "watched", "no", "yes"]
    assert after(known({}, changes=many), {}) == [first, *kept]
    # One more cuts again, and the line that says so goes along.
    again = after(known({"peer": "up"}, changes=[first, *kept]), {"peer": "down"})
    assert again == [[kept[1][0], "watched", "no", "yes"], *kept[1:], [NOW, "peer", "up", "down"]]
