"""docs/monitoring.md has the metrics that a machine collects, the alerts and the jobs."""

import re

import yaml

from components.plan.topology import Role
from components.plan.traffic import EXPORTER_PORT, METRICS_PORT
from components.steps.host_scripts import HOST_SCRIPTS
from scripts.cluster_metrics import targets
from tests.commands import PROJECT
from tests.unit.docs.pages import page, table

PAGE = page("docs/monitoring.md")


def first(heading: str) -> list[str]:
    return [row[0].strip("`") for row in table(PAGE.text, heading)]


def test_metrics() -> None:
    collected = re.findall(r"^ +gauge (\w+) ", (HOST_SCRIPTS / "base" / "collect-metrics").read_text(), re.MULTILINE)
    assert sorted(first("metric")) == sorted(f"php_cluster_{name}" for name in collected)


def test_alerts_and_parts() -> None:
    [group] = yaml.safe_load((PROJECT / "docs" / "monitoring" / "alerts.yml").read_text())["groups"]
    assert first("alert") == [rule["alert"] for rule in group["rules"] if "alert" in rule]
    assert first("part") == [rule["labels"]["part"] for rule in group["rules"] if "record" in rule]


def test_jobs() -> None:
    machines = {role.name: {"role": role.value, "address": role.name} for role in Role}
    found = {(group["labels"]["job"], group["targets"][0].rpartition(":")[2]) for group in targets("dev", machines)}
    rows = {(row[0].strip("`"), row[1].split()[1]) for row in table(PAGE.text, "`job`")}
    assert rows == found
    assert {port for _, port in found} == {str(METRICS_PORT), str(EXPORTER_PORT)}
