"""scripts/switchover: to whom it hands the floating IP, and when it does not."""

import pytest

from scripts.cluster_status import Report
from scripts.floating_ip_switchover import plan
from scripts.machines import RefusalError


def report(**changes: object) -> Report:
    """lb1 has the address, both are well; `changes` are attributes of lb2."""
    well = {"state": "up", "daemons": {"haproxy": "active", "keepalived": "active"}, "may_hold": True}
    balancers = {name: {"php1": "UP", "php2": "UP"} for name in ("lb1", "lb2")}
    return Report(
        "200",
        machines={"lb1": dict(well), "lb2": {**well, **changes}},
        floating_ip={"owners": {"lb1": "?"}},
        balancers=balancers,
    )


def test_it_goes_from_who_has_it_to_the_other() -> None:
    assert plan(report()) == ("lb1", "lb2")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": "no route to host"}, "lb2 is not ready to take the floating IP from lb1: no route to host"),
        ({"daemons": {"haproxy": "failed"}}, "haproxy is failed"),
        ({"may_hold": False}, "it must not hold it"),
    ],
)
def test_it_is_refused_while_the_other_cannot_serve(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RefusalError, match=why):
        plan(report(**changes))


def test_a_daemon_that_carries_no_address_is_no_reason() -> None:
    assert plan(report(daemons={"haproxy": "active", "glusterd": "failed"})) == ("lb1", "lb2")


def test_it_is_refused_while_the_other_sees_fewer_nodes() -> None:
    found = report()
    found.balancers["lb2"] = {"php1": "UP", "php2": "DOWN 1/2"}
    with pytest.raises(RefusalError, match="it sees php2 DOWN 1/2"):
        plan(found)
    # A node that is down for both is no reason.
    found.balancers["lb1"] = {"php1": "UP", "php2": "DOWN"}
    assert plan(found) == ("lb1", "lb2")


def test_it_is_refused_while_visitors_would_get_something_else() -> None:
    found = report()
    found.maintenance = {"lb1": "2026-11-30 16:20"}
    with pytest.raises(RefusalError, match="maintenance is on at one of them alone"):
        plan(found)


@pytest.mark.parametrize(("owners", "said"), [({}, "nobody"), ({"lb1": "?", "lb2": "?"}, "lb1 and lb2")])
def test_it_is_refused_unless_one_has_it(owners: dict[str, str], said: str) -> None:
    found = report()
    found.floating_ip["owners"] = owners
    with pytest.raises(RefusalError, match=f"the floating IP is held by {said}"):
        plan(found)
