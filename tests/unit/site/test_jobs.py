"""The environment's file, units of workers and timers, and when the steps that bring them are there."""

import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.cluster import PhpCluster
from components.plan.application_settings import CronEntry, Worker
from components.site.jobs import environment_file, jobs_of
from components.site.package import Site
from components.site.release import release_name
from components.steps.drift import Drift
from components.steps.host_scripts import HOST_SCRIPTS
from components.steps.last_update import LastUpdate
from tests.unit.graph import cluster_graph, everything_before, graph_of, machine, planned
from tests.unit.settings import read_settings

VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=40)


@given(VALUES)
def test_a_shell_reads_every_value_back(value: str) -> None:
    said = subprocess.run(
        ["/bin/sh", "-c", f'{environment_file({"NAME": value})}printf "%s" "$NAME"'], capture_output=True, check=True
    ).stdout
    assert said.decode() == value


def test_units() -> None:
    application = replace(
        read_settings({}).application,
        cron=(CronEntry("tidy", "*-*-* 03:00:00", "php tidy.php 'a b' 50% $HOME"),),
        workers=(Worker("queue", "php queue.php", 2, 45),),
    )
    jobs = jobs_of(application)
    assert jobs.workers == ["php-cluster-worker-queue@1.service", "php-cluster-worker-queue@2.service"]
    assert jobs.timers == ["php-cluster-cron-tidy.timer"]
    # In files of their own: nothing has to be escaped for systemd.
    assert jobs.files["/etc/php-cluster/jobs/cron-tidy"] == "php tidy.php 'a b' 50% $HOME\n"
    assert "TimeoutStopSec=45" in jobs.files["/etc/systemd/system/php-cluster-worker-queue@.service"]
    assert "OnCalendar=*-*-* 03:00:00" in jobs.files["/etc/systemd/system/php-cluster-cron-tidy.timer"]
    # A job may do what a page may, no more and no less.
    limits = {line for line in (HOST_SCRIPTS / "site/confined.conf.j2").read_text().splitlines() if "=" in line}
    assert limits and limits < set((HOST_SCRIPTS / "php/fpm@.service").read_text().splitlines())
    assert all(limits < set(jobs.files[path].splitlines()) for path in jobs.files if path.endswith(".service"))
    variables = jobs.variables
    assert [variables[f"JOB_FILE_{index}"] for index in range(len(jobs.files))] == list(jobs.files.values())
    assert variables["JOB_FILES"].split() == list(jobs.files)


def test_a_release_is_named_by_its_files_and_its_layout() -> None:
    site = Site(read_settings({}).app_dir, "0" * 64)
    plain = read_settings({}).application
    assert release_name(site, plain) == site.sha256
    cached = [read_settings({"writableDirs": folders}).application for folders in (["a", "b"], ["b", "a"], ["a"])]
    names = [release_name(site, application) for application in cached]
    assert names[0] == names[1] != names[2]
    assert site.sha256 not in names


@pytest.fixture(scope="module")
def graph() -> Any:
    return cluster_graph(
        phpNodes=2,
        appEnvironment={"KEY": "a secret of the site"},
        releaseCommands=["php migrate.php"],
        nodeCommands=["php warm-up.php"],
    )


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("php2-php", {"php2-environment"}),
        ("php1-release-commands", {"php1-site-staged", "php2-site-staged", "php1-environment", "php1-php"}),
        ("php2-node-commands", {"php1-release-commands", "php2-environment", "php2-mount"}),
        ("php1-site-tried", {"php1-node-commands", "php2-node-commands"}),
        ("php1-site", {"php2-node-commands", "php1-site-tried"}),
    ],
)
def test_commands_run_before_any_node_switches(graph: Any, step: str, before: set[str]) -> None:
    assert before <= everything_before(graph, step)


def test_release_commands_run_on_one_node(graph: Any) -> None:
    assert [name for name in graph if name.endswith("-release-commands")] == ["php1-release-commands"]


def test_the_environment_is_a_secret_of_its_own_step_alone(graph: Any) -> None:
    holders = {name for name, node in graph.items() if "a secret of the site" in str(node.inputs)}
    assert holders == {"php1-environment", "php2-environment"}
    for name in holders:
        # The engine's own mark of a secret.
        assert graph[name].inputs["stdin"]["4dabf18193072939515e22adb298388d"]


def test_a_site_without_these_has_no_steps_for_them_but_to_take_back_what_was_there() -> None:
    kinds = ("-environment", "-release-commands", "-node-commands")
    assert [name for name in cluster_graph() if name.endswith(kinds)] == []
    # A variable that is not there any more must not stay on the node.
    assert "php2-environment" in cluster_graph(known={"php2-environment": {}})


def test_after_a_rollback_the_nodes_are_told_what_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", lambda message, *_: said.append(message))
    settings, plan = planned(phpNodes=2)
    name = release_name(Site(settings.app_dir, "0" * 64), settings.application)

    def program() -> None:
        drift = Drift(LastUpdate(), rollbacks={name: "a" * 64})
        machines = {each.name: machine(each, drift=drift) for each in plan.machines}
        PhpCluster("cluster", settings, plan, machines, Site(settings.app_dir, "0" * 64), last=drift.last)

    graph = graph_of(program)
    for step in ("php1-site-tried", "php1-site", "php2-site"):
        assert f"ROLLED_BACK_TO={'a' * 64}" in graph[step].inputs["stdin"]
    assert [message for message in said if "the site stays at release aaaaaaaaaaaa" in message] != []
