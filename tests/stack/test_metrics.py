"""The metrics of a cluster in a real Prometheus: what dashboard and alerts ask for is there, and follows a fault."""

import json
import re
import socket
from collections.abc import Callable, Iterator

import pytest
import yaml
from cryptography import x509
from selenium import webdriver

from components.plan.traffic import EXPORTER_PORT, METRICS_PORT
from components.substrates.local.identity import NETWORKS
from scripts.cluster_metrics import NO_METRICS
from tests.prometheus import MONITORING, Query, collecting
from tests.stack.chromium import chrome
from tests.stack.cluster import Cluster, standing, wait_for
from tests.stack.health import balancers, whole_again
from tests.unit.plan.test_settings import self_signed


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that tells its metrics."""
    stack = Cluster(tmp_path_factory.mktemp("state"), {"phpNodes": "2", "metrics.allowFrom[0]": NETWORKS})
    with standing(stack, request.session):
        yield stack


@pytest.fixture(scope="module")
def query(measured: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """What a Prometheus that collects them every second says, with the alerts of docs/monitoring."""
    with collecting(measured, tmp_path_factory.mktemp("prometheus"), MONITORING / "alerts.yml") as ask:
        yield ask


def survived(query: Query) -> dict[str, float]:
    """Part of the cluster to the failures that it survives yet."""
    return {each["metric"]["part"]: float(each["value"][1]) for each in query("php_cluster:failures_survived")}


def alerts(query: Query) -> set[str]:
    """Those that burn, or will if it goes on."""
    return {each["metric"]["alertname"] for each in query("ALERTS")}


def values(query: Query, expression: str) -> set[float]:
    return {float(each["value"][1]) for each in query(expression)}


SELECTORS = re.compile(r"\b(?:php_cluster|haproxy|phpfpm|node|up)(?:[_:]\w+)?(?:\{[^}]*\})?(?![\w:])")
WITH_TLS = "php_cluster_certificate_end_timestamp_seconds"
LASTS = "php_cluster_certificate_lifetime_seconds"
BACKUP = "php_cluster_backup_timestamp_seconds"
WITHOUT_DATA = {WITH_TLS, LASTS, BACKUP}


def asked_for(stack: str) -> tuple[set[str], set[str]]:
    """The dashboard's queries, and each series that the rules look at."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    shown = {target["expr"].replace("$stack", stack) for panel in panels for target in panel["targets"]}
    [group] = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return shown, {selector for rule in group["rules"] for selector in SELECTORS.findall(rule["expr"])}


def test_what_dashboard_and_alerts_ask_for_is_there(measured: Cluster, query: Query) -> None:
    whole_again(measured)
    wait_for("all targets answer", lambda: len(query("up == 1")) == 8, 30)
    wait_for("one failure may come", lambda: set(survived(query).values()) == {1.0}, 60)
    shown, looked_at = asked_for(measured.name)
    assert len(shown) > 20 and looked_at > WITHOUT_DATA

    def others_have_data() -> bool:
        assert {expression for expression in shown | looked_at if not query(expression)} == WITHOUT_DATA
        return True

    # Rates need some seconds.
    wait_for("they have data", others_have_data, 30)
    # Prometheus has seen how the cluster began.
    wait_for("no alert is left", lambda: not alerts(query), 60)
    [holds] = query("php_cluster_holds_floating_ip == 1")
    assert [holds["metric"]["machine"]] == measured.owners_of_floating_ip()
    assert {each["metric"]["stack"] for each in query("up")} == {measured.name}
    for machine in measured.outputs()["machines"]:
        said = measured.ssh(machine, f"bash /var/lib/php-cluster/steps/{machine}-metrics")
        assert said.strip().endswith("(nothing to change)"), said
    for balancer in ("lb1", "lb2"):
        said = measured.ssh(balancer, f"bash /var/lib/php-cluster/steps/{balancer}-status-page")
        assert said.strip().endswith("(nothing to change)"), said


def test_they_are_on_private_addresses_only(measured: Cluster) -> None:
    address = measured.outputs()["floatingIp"]
    for port in (METRICS_PORT, EXPORTER_PORT):
        with pytest.raises(TimeoutError):
            socket.create_connection((address, port), timeout=2)


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    with chrome() as opened:
        yield opened


def open_status_page(browser: webdriver.Chrome, cluster: Cluster, balancer: str) -> Callable[[str], str]:
    """Opens the page of that balancer; returns what asks for the text of an element."""
    addresses = cluster.run("scripts/metrics", "--stack", cluster.name, "page").stdout.split()
    [address] = [each for each in addresses if f"//{cluster.address(balancer)}:" in each]
    browser.get(address)

    def shown(selector: str) -> str:
        # In one go, since the page makes its parts anew every two seconds.
        return str(browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    return shown


def test_a_balancer_without_power_leaves_nothing_to_lose(
    measured: Cluster, query: Query, browser: webdriver.Chrome
) -> None:
    whole_again(measured)
    active, spare = balancers(measured)
    shown = open_status_page(browser, measured, active)
    wait_for("the page says that all is well", lambda: shown("#word") == "All is well", 30)
    assert "has the floating IP" in shown(f"[data-machine={active}]") and "in service" in shown("[data-machine=php2]")
    measured.lab_command("power-off", active)
    try:
        # It came from the one that is away, and is not loaded again.
        wait_for(
            "the page says who is away, and who has the address",
            lambda: (
                "does not answer" in shown(f"[data-machine={active}]")
                and "has the floating IP" in shown(f"[data-machine={spare}]")
                and shown("#word") == "It serves. One more failure would stop it"
            ),
            30,
        )
        # php1 counts the connections every 15 s.
        wait_for(
            "nothing is left to lose", lambda: {survived(query)[part] for part in ("balancers", "quorum")} == {0}, 60
        )
        assert "PhpClusterOneMoreFailureStopsService" in alerts(query)
        assert survived(query)["nodes"] == 1
    finally:
        measured.lab_command("restore", active)
    whole_again(measured)
    wait_for("one failure may come", lambda: set(survived(query).values()) == {1.0}, 60)
    wait_for("no alert is left", lambda: not alerts(query) - {"PhpClusterSessionsRefused"}, 30)
    noted = (f"{spare} has the floating IP", f"{active} does not answer {spare}", f"{active} answers {spare} again")
    wait_for("the timeline has it", lambda: all(line in shown("#changes") for line in noted), 30)
    assert shown("#lanes").split("\n")[:3] == ["Floating IP", "lb1", "lb2"]
    # Of the page itself; that a machine without power does not answer is no fault of it.
    errors = [entry for entry in browser.get_log("browser") if entry["source"] != "network"]  # type: ignore[no-untyped-call]
    assert errors == []


def test_the_certificate_that_is_served_tells_its_end(measured: Cluster, query: Query) -> None:
    chain, key = self_signed()
    measured.configure({"tlsCertificate": chain})
    measured.pulumi("config", "set", "--secret", "tlsKey", "--stack", measured.name, "--", key)
    measured.up()
    certificate = x509.load_pem_x509_certificate(chain.encode())
    ends = certificate.not_valid_after_utc.timestamp()
    wait_for("it is told", lambda: values(query, WITH_TLS) == {ends}, 30)
    assert values(query, LASTS) == {ends - certificate.not_valid_before_utc.timestamp()}
    found = json.loads(measured.status("--json", "--seconds", "30").stdout)
    assert found["certificate_ends"] == {"lb1": ends, "lb2": ends}


def test_none_are_told_any_more(measured: Cluster) -> None:
    measured.pulumi("config", "rm", "metrics", "--stack", measured.name)
    measured.up()
    assert measured.run("scripts/metrics", "--stack", measured.name, "targets").returncode == NO_METRICS
    for machine in measured.outputs()["machines"]:
        for port in (METRICS_PORT, EXPORTER_PORT):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((measured.address(machine), port), timeout=2)
        left = measured.enter(
            machine,
            "ls /etc/systemd/system /usr/lib/php-cluster /var/lib/php-cluster /var/lib/prometheus/node-exporter",
        )
        assert not re.search("metrics|status-page|changes", left), left
    measured.pulumi("preview", "--expect-no-changes", "--stack", measured.name)
