"""The rules of docs/monitoring/alerts.yml, by `promtool test rules`: what raises each alert, and nothing else does."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.cluster_status import BACKUP_DAYS, CERTIFICATE_DAYS, FULL_PERCENT
from tests.commands import PROJECT, said
from tests.prometheus import program

RULES = PROJECT / "docs" / "monitoring" / "alerts.yml"
DASHBOARD = PROJECT / "docs" / "monitoring" / "dashboard.json"

WHOLE = {
    'up{job="machine", machine="lb1"}': "1x90",
    'up{job="machine", machine="lb2"}': "1x90",
    'up{job="haproxy", machine="lb1"}': "1x90",
    'php_cluster_balancer_ready{machine="lb1"}': "1x90",
    'php_cluster_balancer_ready{machine="lb2"}': "1x90",
    'php_cluster_holds_floating_ip{machine="lb1"}': "1x90",
    'php_cluster_holds_floating_ip{machine="lb2"}': "0x90",
    'php_cluster_maintenance{machine="lb1"}': "0x1200",
    'haproxy_backend_active_servers{proxy="php", machine="lb1"}': "2x90",
    'haproxy_backend_active_servers{proxy="php", machine="lb2"}': "2x90",
    'php_cluster_quorum_votes{machine="php1"}': "3x90",
    'php_cluster_quorum_votes{machine="php2"}': "3x90",
    'php_cluster_quorum_needed{machine="php1"}': "2x90",
    'php_cluster_heal_pending_entries{machine="lb1", volume="sessions"}': "0x90",
    'php_cluster_heal_pending_entries{machine="lb2", volume="sessions"}': "0x90",
    'php_cluster_brick_outdated{machine="php1", volume="sessions", brick="lb1"}': "0x90",
    'php_cluster_mount_waited_seconds{machine="php1", volume="sessions"}': "0.3x90",
    'php_cluster_sessions_refused{machine="php1"}': "0x90",
    'phpfpm_idle_processes{machine="php1"}': "8x90",
    'node_filesystem_avail_bytes{machine="lb1", mountpoint="/session"}': "50x90",
    'node_filesystem_size_bytes{machine="lb1", mountpoint="/session"}': "100x90",
    'node_filesystem_files_free{machine="lb1", mountpoint="/session"}': "50x90",
    'node_filesystem_files{machine="lb1", mountpoint="/session"}': "100x90",
    'node_textfile_mtime_seconds{machine="lb1", file="/folder/php-cluster.prom"}': "0+15x90",
    'php_cluster_certificate_end_timestamp_seconds{machine="lb1"}': "9999999x90",
    'php_cluster_certificate_lifetime_seconds{machine="lb1"}': f"{90 * 86400}x90",
    'php_cluster_backup_timestamp_seconds{machine="lb1"}': "0x90",
    'haproxy_frontend_http_responses_total{proxy="site", code="2xx", machine="lb1"}': "0+100x90",
    'haproxy_frontend_http_responses_total{proxy="site", code="5xx", machine="lb1"}': "0x90",
    'haproxy_frontend_requests_denied_total{proxy="site", machine="lb1"}': "0x90",
    'haproxy_frontend_denied_connections_total{proxy="site", machine="lb1"}': "0x90",
    'haproxy_frontend_denied_sessions_total{proxy="site", machine="lb1"}': "0x90",
    'node_netstat_Tcp_OutSegs{machine="lb1"}': "0+15000x90",
    'node_netstat_Tcp_RetransSegs{machine="lb1"}': "0+15x90",
}
"""What a cluster without a fault tells, every 15 s; each series with its values in promtool's words."""

GONE = "1x4 stale"
"""From one minute on."""

RAISED: dict[str, tuple[dict[str, str], set[str]]] = {
    "nothing": ({}, set()),
    "a balancer loses its power": (
        {
            'up{job="machine", machine="lb2"}': "1x4 0x90",
            'php_cluster_balancer_ready{machine="lb2"}': GONE,
            'php_cluster_quorum_votes{machine="php1"}': "3x4 2x90",
            'php_cluster_quorum_votes{machine="php2"}': "3x4 2x90",
            'php_cluster_heal_pending_entries{machine="lb1", volume="sessions"}': "0x4 7x90",
            'php_cluster_heal_pending_entries{machine="lb2", volume="sessions"}': GONE,
        },
        {"OneMoreFailureStopsService", "MachineDown"},
    ),
    "one balancer may not hold the address": (
        {'php_cluster_balancer_ready{machine="lb2"}': "0x90"},
        {"OneMoreFailureStopsService"},
    ),
    "one node serves": (
        {f'haproxy_backend_active_servers{{proxy="php", machine="{name}"}}': "1x90" for name in ("lb1", "lb2")},
        {"OneMoreFailureStopsService"},
    ),
    "a brick lacks something": (
        {'php_cluster_heal_pending_entries{machine="lb1", volume="sessions"}': "3x90"},
        {"OneMoreFailureStopsService"},
    ),
    "the arbiter takes a brick for outdated": (
        {'php_cluster_brick_outdated{machine="php1", volume="sessions", brick="lb1"}': "1x90"},
        {"OneMoreFailureStopsService"},
    ),
    "a heal takes long": (
        {'php_cluster_heal_pending_entries{machine="lb1", volume="sessions"}': "3x90"},
        {"OneMoreFailureStopsService", "HealPending"},
    ),
    "no node serves": (
        {f'haproxy_backend_active_servers{{proxy="php", machine="{name}"}}': "0x90" for name in ("lb1", "lb2")},
        {"ServiceStopped"},
    ),
    "no quorum": (
        {f'php_cluster_quorum_votes{{machine="{name}"}}': "1x90" for name in ("php1", "php2")},
        {"ServiceStopped"},
    ),
    "nobody has the address": ({'php_cluster_holds_floating_ip{machine="lb1"}': "0x90"}, {"ServiceStopped"}),
    "the address is taken over by one that has not told it yet": (
        {
            'php_cluster_holds_floating_ip{machine="lb1"}': "1x22 stale",
            'php_cluster_holds_floating_ip{machine="lb2"}': "0x90",
        },
        set(),
    ),
    "no machine answers": (
        {f'up{{job="machine", machine="{name}"}}': "0x90" for name in ("lb1", "lb2")},
        {"ServiceStopped", "MachineDown"},
    ),
    "both have the address": ({'php_cluster_holds_floating_ip{machine="lb2"}': "1x90"}, {"FloatingIpHeldTwice"}),
    "HAProxy does not answer": ({'up{job="haproxy", machine="lb1"}': "0x90"}, {"DaemonDown"}),
    "nothing is collected": (
        {'node_textfile_mtime_seconds{machine="lb1", file="/folder/php-cluster.prom"}': "0x90"},
        {"MetricsOld"},
    ),
    "a mount hangs": (
        {'php_cluster_mount_waited_seconds{machine="php1", volume="sessions"}': "0+15x90"},
        {"MountSilent"},
    ),
    "a mount is lost": (
        {'php_cluster_mount_waited_seconds{machine="php1", volume="sessions"}': " ".join(["Inf"] * 60)},
        {"MountSilent"},
    ),
    "sessions are refused": ({'php_cluster_sessions_refused{machine="php1"}': "2x90"}, {"SessionsRefused"}),
    "answers are errors": (
        {'haproxy_frontend_http_responses_total{proxy="site", code="5xx", machine="lb1"}': "0+2x90"},
        {"ServerErrors"},
    ),
    "packets get lost": ({'node_netstat_Tcp_RetransSegs{machine="lb1"}': "0+300x90"}, {"PacketsLost"}),
    "a machine that sends little sends it again": (
        {
            'node_netstat_Tcp_OutSegs{machine="lb1"}': "0+60x90",
            'node_netstat_Tcp_RetransSegs{machine="lb1"}': "0+30x90",
        },
        set(),
    ),
    "requests are refused": (
        {'haproxy_frontend_requests_denied_total{proxy="site", machine="lb1"}': "0+30x90"},
        {"ClientsRefused"},
    ),
    "connections are refused": (
        {'haproxy_frontend_denied_sessions_total{proxy="site", machine="lb1"}': "0+30x90"},
        {"ClientsRefused"},
    ),
    "a visitor is refused now and then": (
        {'haproxy_frontend_requests_denied_total{proxy="site", machine="lb1"}': "0+6x90"},
        set(),
    ),
    "a brick has little room": (
        {'node_filesystem_avail_bytes{machine="lb1", mountpoint="/session"}': f"{99 - FULL_PERCENT}x90"},
        {"DiskFills"},
    ),
    "a brick has few inodes": (
        {'node_filesystem_files_free{machine="lb1", mountpoint="/session"}': f"{99 - FULL_PERCENT}x90"},
        {"DiskFills"},
    ),
    "all workers are busy": ({'phpfpm_idle_processes{machine="php1"}': "0x90"}, {"WorkersBusy"}),
    "a certificate ends": (
        {
            'php_cluster_certificate_end_timestamp_seconds{machine="lb1"}': f"{(CERTIFICATE_DAYS - 1) * 86400}x1200",
            'php_cluster_certificate_lifetime_seconds{machine="lb1"}': f"{90 * 86400}x1200",
        },
        {"CertificateEnds"},
    ),
    "a certificate of six days ends": (
        {
            'php_cluster_certificate_end_timestamp_seconds{machine="lb1"}': f"{2 * 86400}x1200",
            'php_cluster_certificate_lifetime_seconds{machine="lb1"}': f"{6 * 86400}x1200",
        },
        {"CertificateEnds"},
    ),
    "a certificate of six days is new": (
        {
            'php_cluster_certificate_end_timestamp_seconds{machine="lb1"}': f"{5 * 86400}x1200",
            'php_cluster_certificate_lifetime_seconds{machine="lb1"}': f"{6 * 86400}x1200",
        },
        set(),
    ),
    "no backup was made for two days": (
        {'php_cluster_backup_timestamp_seconds{machine="lb1"}': f"-{BACKUP_DAYS * 86400}x90"},
        {"BackupOld"},
    ),
    "maintenance is forgotten": ({'php_cluster_maintenance{machine="lb1"}': "1x1200"}, {"MaintenanceOn"}),
}
"""What happens, the series that it changes, and the alerts that it raises."""

WHEN = {"a heal takes long": "17m", "maintenance is forgotten": "4h5m"}
WHEN |= {case: "1h" for case in RAISED if case.startswith("a certificate")}
"""The others are looked at after six minutes."""


def series(values: dict[str, str]) -> list[dict[str, str]]:
    """With the stack's name; promtool takes each value to the end of the test."""
    return [{"series": name.replace("{", '{stack="s", '), "values": said} for name, said in values.items()]


@pytest.mark.parametrize("case", RAISED)
def test_what_raises_which_alert(tmp_path: Path, case: str) -> None:
    changes, expected = RAISED[case]
    assert changes.keys() <= WHOLE.keys()
    when = WHEN.get(case, "6m")
    # Hours are looked at alone: nothing else is told for so long.
    told = changes if "h" in when else WHOLE | changes
    raised = [{"labels": f'{{alertname="PhpCluster{name}"}}', "value": 1} for name in sorted(expected)]
    test = {
        "interval": "15s",
        "input_series": series(told),
        "promql_expr_test": [
            {"expr": 'group by (alertname) (ALERTS{alertstate="firing"})', "eval_time": when, "exp_samples": raised}
        ],
    }
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": [test]})
    )
    said(str(program("promtool")), "test", "rules", str(tmp_path / "test.yml"))


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def test_each_alert_is_raised_by_something() -> None:
    raised = set().union(*(names for _, names in RAISED.values()))
    assert {f"PhpCluster{name}" for name in raised} == {rule["alert"] for rule in alerts()}


def test_queries_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    said(str(program("promtool")), "check", "rules", str(tmp_path / "rules.yml"))
