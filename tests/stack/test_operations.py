"""What an operator does to a cluster that serves: hand the address over, close the site, read the logs."""

import functools
import hashlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.machines import REFUSED
from scripts.site_maintenance import MOST_PAGE_BYTES
from tests.stack.cluster import Cluster, request, wait_for
from tests.stack.health import balancers, goes_on, used_session, whole_again
from tests.stack.test_changes import visitors


@pytest.fixture
def open_again(cluster: Cluster) -> Iterator[None]:
    """What a failing test closed must not fail the next ones too."""
    yield
    assert cluster.run("scripts/maintenance", "--stack", cluster.name, "off").returncode == 0


def test_the_address_is_handed_over_and_back(cluster: Cluster) -> None:
    whole_again(cluster)
    visitor, by_ipv6 = used_session(cluster), cluster.visitor6()
    by_ipv6.visit()
    logins = {name: cluster.enter(name, KEEPALIVED) for name in ("lb1", "lb2")}
    for _ in range(2):
        active, spare = balancers(cluster)
        with visitors(cluster.outputs()["url"]) as answers:
            wait_for("they are answered", lambda: sum(answers.values()) > 20)
            done = cluster.run("scripts/switchover", "--stack", cluster.name)
        assert done.returncode == 0, done.stderr
        assert re.search(rf" went from {active} to {spare} within \d\.\d s; the site answers 200$", done.stdout), (
            done.stdout
        )
        # No answer was an error of the site's; connections that were open at that moment ended.
        failed = {said: count for said, count in answers.items() if not said.startswith(("{", "<"))}
        assert sum(failed.values()) <= 4 and not any(re.match(r"\d{3} ", said) for said in failed), failed
        assert cluster.owners_of_floating_ip() == cluster.owners_of_floating_ip("floatingIp6") == [spare]
        goes_on(visitor)
        goes_on(by_ipv6)
        assert by_ipv6.seen[-1]["balancer"] == spare
        # Both take part again, and neither takes it back.
        wait_for("the first may hold it again", functools.partial(may_hold, cluster, active))
        time.sleep(1.5)
        assert cluster.owners_of_floating_ip() == [spare]
    # keepalived was neither restarted nor told anything that an update would take back.
    assert logins == {name: cluster.enter(name, KEEPALIVED) for name in ("lb1", "lb2")}
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)


KEEPALIVED = "systemctl show --property=MainPID keepalived; md5sum /etc/keepalived/keepalived.conf"


def may_hold(cluster: Cluster, name: str) -> bool:
    return cluster.enter(name, "cat /run/php-cluster/may-hold").strip() == "0"


def test_the_address_stays_while_the_other_is_not_ready(cluster: Cluster) -> None:
    whole_again(cluster)
    active, spare = balancers(cluster)
    cluster.enter(spare, "systemctl stop haproxy")
    try:
        done = cluster.run("scripts/switchover", "--stack", cluster.name)
        assert (done.returncode, cluster.owners_of_floating_ip()) == (REFUSED, [active])
        assert f"{spare} is not ready to take the floating IP from {active}: haproxy is inactive" in done.stderr
    finally:
        cluster.enter(spare, "systemctl start haproxy")
        whole_again(cluster)


def test_a_handover_that_nobody_ends_ends_by_itself(cluster: Cluster) -> None:
    """Whoever asked for it may lose his connection; the other balancer may lose its power at that moment."""
    whole_again(cluster)
    visitor = used_session(cluster)
    active, spare = balancers(cluster)
    cluster.lab_command("power-off", spare)
    try:
        cluster.enter(active, "echo $((EPOCHSECONDS + 3)) >/run/php-cluster/hands-over")
        wait_for("it lets go", lambda: cluster.owners_of_floating_ip() == [])
        wait_for("it has it again", lambda: cluster.owners_of_floating_ip() == [active], 10)
        goes_on(visitor)
    finally:
        cluster.lab_command("restore", spare)
        whole_again(cluster)


def maintenance(cluster: Cluster, *words: str) -> str:
    done = cluster.run("scripts/maintenance", "--stack", cluster.name, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("open_again", "restored")
def test_the_site_is_closed_through_whatever_happens(cluster: Cluster, tmp_path: Path) -> None:
    whole_again(cluster)
    visitor, url = used_session(cluster), cluster.outputs()["url"]
    filling = "x" * (MOST_PAGE_BYTES - 60)
    (tmp_path / "page.html").write_text(f'<p>Zurück um "10"</p>\n<script>// a\nlet b</script><i>{filling}</i>\n')
    page = (tmp_path / "page.html").read_text().strip()

    def closed() -> bool:
        answer = request(url)
        return (answer.status, answer.headers["Retry-After"], answer.text.strip()) == (503, "90", page)

    said = maintenance(cluster, "on", "--page", str(tmp_path / "page.html"), "--retry-after", "90")
    assert said == "lb1, lb2: visitors get 503 and Retry-After: 90\n"
    wait_for("the page is that of the site", closed, 15)
    for name in ("lb1", "lb2"):
        assert request(f"http://{cluster.address(name)}/").status == 503
    status = cluster.status("--json", "--seconds", "30")
    assert status.returncode == 1 and any(
        "maintenance is on since" in each for each in json.loads(status.stdout)["problems"]
    )

    [active] = cluster.owners_of_floating_ip()
    cluster.enter(active, "systemctl reload haproxy")
    assert all(closed() for _ in range(20))
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
    cluster.up()
    assert closed()
    cluster.lab_command("power-off", active)
    wait_for("the other balancer answers", closed, 20)
    cluster.lab_command("restore", active)
    wait_for("the first has booted", lambda: request(f"http://{cluster.address(active)}/").status == 503)

    # On and off count from the next request on.
    assert maintenance(cluster, "off") == "lb1, lb2: the site is open\n"
    assert {request(url).status for _ in range(10)} == {200}
    maintenance(cluster, "on")
    assert {request(url).status for _ in range(10)} == {503}
    maintenance(cluster, "off")
    goes_on(visitor)
    assert request(f"http://{cluster.address(active)}/").status == 200
    whole_again(cluster)
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)


@pytest.mark.usefixtures("open_again")
def test_a_balancer_that_is_away_is_named(cluster: Cluster) -> None:
    whole_again(cluster)
    _, spare = balancers(cluster)
    cluster.lab_command("power-off", spare)
    try:
        done = cluster.run("scripts/maintenance", "--stack", cluster.name, "on")
        assert done.returncode == 1 and f"{spare}: " in done.stderr and "until then they differ" in done.stderr
        assert request(cluster.outputs()["url"]).status == 503
    finally:
        cluster.lab_command("restore", spare)
        wait_for("it answers", lambda: cluster.ssh(spare, "hostname"))
    assert "maintenance is on at" in cluster.status("--seconds", "30").stdout
    maintenance(cluster, "on")
    assert request(f"http://{cluster.address(spare)}/").status == 503
    maintenance(cluster, "off")
    whole_again(cluster)


def test_a_request_is_found_in_the_logs_by_its_session(cluster: Cluster) -> None:
    whole_again(cluster)
    visitor = used_session(cluster)
    session = visitor.cookie.partition("=")[2]
    name = hashlib.sha256(session.encode()).hexdigest()[:12]
    answer = request(cluster.outputs()["url"] + "?token=hidden", {"Cookie": visitor.cookie})
    assert answer.status == 200
    [active] = cluster.owners_of_floating_ip()

    def logged() -> list[str]:
        done = cluster.run(
            "scripts/logs",
            "--stack",
            cluster.name,
            "--since=-5min",
            "--",
            "--identifier=haproxy",
            f"--grep=session={name}",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    # One line for each of his requests, the first of which came without a cookie.
    lines = wait_for("all are logged", lambda: [found for found in [logged()] if len(found) == 6])[0]
    for line in lines:
        assert re.search(
            rf"Z {active} +haproxy: id=[0-9a-f-]{{36}} client=\S+ node=php[12] status=200 bytes=\d+ wait=\d+ "
            rf"answer=\d+ total=\d+ end=\S+ session={name} GET /$",
            line,
        ), line
    stamps = [line.split()[0] for line in lines]
    assert stamps == sorted(stamps)
    everything = cluster.run("scripts/logs", "--stack", cluster.name, "--since=-5min").stdout
    assert session not in everything and "token=hidden" not in everything
    machines = {line.split()[1] for line in everything.splitlines()}
    assert machines == {"lb1", "lb2", "php1", "php2"}
    times = [line.split()[0] for line in everything.splitlines()]
    assert all(one <= other for one, other in itertools.pairwise(times))


def test_a_disk_that_fills_and_updates_are_told(cluster: Cluster) -> None:
    whole_again(cluster)
    room = "$(($(df --output=avail --block-size=1 /session | tail --lines=1) * 95 / 100))"
    cluster.enter("lb2", f"fallocate --length {room} /session/ballast")
    # As `apt-get update` leaves it where there is nothing new; machines of the lab have no mirror.
    cluster.enter("php2", "touch /var/lib/apt/lists/mirror_InRelease")
    try:
        found = json.loads(cluster.status("--json", "--seconds", "30").stdout)
        [problem] = [said for said in found["problems"] if said.startswith("lb2: 9")]
        mend = f"scripts/ssh --stack {cluster.name} php1 systemctl start php-cluster-collect"
        assert problem.endswith(f"% of the room of /session is used: {mend}")
        # The command is one that can be typed.
        assert cluster.run(*mend.split()).returncode == 0
        assert found["machines"]["php1"]["used"].keys() == {"/"}
        wait_for("updates are counted", lambda: cluster.enter("php2", "cat /run/php-cluster-updates"))
        found = json.loads(cluster.status("--json", "--seconds", "30").stdout)
        assert found["machines"]["php2"]["updates"]["packages"] == 0 and "updates" not in found["machines"]["php1"]
    finally:
        cluster.enter("php2", "rm --force /var/lib/apt/lists/mirror_InRelease /run/php-cluster-updates*")
        cluster.enter("lb2", "rm --force /session/ballast")
