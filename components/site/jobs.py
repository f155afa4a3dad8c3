"""What runs beside the pages of the site: its environment, its workers, and its commands at certain times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.plan.application_settings import ApplicationSettings, CronEntry, Worker
from components.plan.topology import DRAIN_SECONDS, MOUNT_POINT
from components.steps.host import Host
from components.steps.last_update import LastUpdate
from components.steps.remote import render

CRON_FOLDER = f"{MOUNT_POINT}/.cron"
"""Where the nodes agree on who runs what: on the volume that all of them mount."""

_UNITS = "/etc/systemd/system"
_COMMANDS = "/etc/php-cluster/jobs"

_STEP = "environment"

_ESCAPED = re.compile(r'[$`\\"]')
_BACKSLASH = r"\\\g<0>"


@dataclass(frozen=True)
class Jobs:
    """Workers and timers as systemd has them.

    Attributes:
        files: Path to content: units, and the shell scripts that they run.
        workers: The units of workers that run.
        timers: The timers that run.
    """

    files: Mapping[str, str]
    workers: Sequence[str]
    timers: Sequence[str]

    @property
    def variables(self) -> dict[str, str]:
        """Variables of site-switch.sh."""
        contents = {f"JOB_FILE_{index}": content for index, content in enumerate(self.files.values())}
        return {
            "JOB_FILES": " ".join(self.files),
            **contents,
            "WORKERS": " ".join(self.workers),
            "TIMERS": " ".join(self.timers),
        }


def jobs_of(application: ApplicationSettings) -> Jobs:
    """The units of an application."""
    files: dict[str, str] = {}
    for worker in application.workers:
        files |= _worker_files(worker)
    for entry in application.cron:
        files |= _cron_files(entry)
    return Jobs(
        files,
        workers=[
            f"php-cluster-worker-{worker.name}@{number}.service"
            for worker in application.workers
            for number in range(1, worker.count + 1)
        ],
        timers=[f"php-cluster-cron-{entry.name}.timer" for entry in application.cron],
    )


def _worker_files(worker: Worker) -> dict[str, str]:
    command = f"{_COMMANDS}/worker-{worker.name}"
    unit = render(
        "site/worker.service.j2",
        name=worker.name,
        count=worker.count,
        stop_seconds=worker.stop_seconds,
        command_file=command,
    )
    return {command: f"{worker.command}\n", f"{_UNITS}/php-cluster-worker-{worker.name}@.service": unit}


def _cron_files(entry: CronEntry) -> dict[str, str]:
    command, unit = f"{_COMMANDS}/cron-{entry.name}", f"{_UNITS}/php-cluster-cron-{entry.name}"
    return {
        command: f"{entry.command}\n",
        f"{unit}.service": render(
            "site/cron.service.j2", name=entry.name, calendar=entry.calendar, folder=CRON_FOLDER, command_file=command
        ),
        f"{unit}.timer": render("site/cron.timer.j2", name=entry.name, calendar=entry.calendar),
    }


def environment_file(environment: Mapping[str, str]) -> str:
    """The variables as systemd's EnvironmentFile, which is shell, too."""
    return "".join(f'{name}="{_ESCAPED.sub(_BACKSLASH, value)}"\n' for name, value in environment.items())


def environment_steps(
    host: Host, environment: Mapping[str, str], last: LastUpdate, *, parent: pulumi.Resource
) -> list[pulumi.Resource]:
    """The step that brings the site's variables to a PHP node, as a secret; none for a site that never had any."""
    name = f"{host.name}-{_STEP}"
    if not environment and not last.has(name):
        return []
    step = host.step(
        name,
        "site/site-environment.sh",
        parent=parent,
        variables={
            "ENVIRONMENT": pulumi.Output.secret(environment_file(environment)),
            "NAMES": "\n".join(environment),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        limit_seconds=4000,
    )
    return [step]
