"""One release of the site on all PHP nodes: everywhere or nowhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pulumi

from components.plan.application_settings import ApplicationSettings
from components.site.jobs import jobs_of
from components.site.package import Site
from components.steps.machine import Machine
from components.steps.remote import remote_copy, remote_step

_STEP_SECONDS = 300
"""For all that a step does beside waiting for the site's own commands."""


@dataclass(frozen=True)
class SiteHost:
    """A PHP node that gets the site.

    Attributes:
        machine: Where it runs.
        installed: The step after which packages are there.
        ready: The steps after which PHP runs, with the sessions mounted.
    """

    machine: Machine
    installed: pulumi.Resource
    ready: Sequence[pulumi.Resource]


def release_name(site: Site, application: ApplicationSettings) -> str:
    """The name of a release, in hexadecimal: what it holds and how it is laid out. The same site has the same again."""
    layout = {"webRoot": application.web_root, "writableDirs": sorted(application.writable_dirs)}
    if not any(layout.values()):
        return site.sha256
    return hashlib.sha256(json.dumps([site.sha256, layout]).encode()).hexdigest()


class SiteRelease(pulumi.ComponentResource):
    """The site unpacked and compiled on every node, its commands run, tried on the first, and then switched to on all.

    Its commands run when it lies ready on each node; it is tried after them, and a node switches when it has answered
    on the first. What serves is left alone until then, so a release that cannot work stops before anybody sees it.

    Attributes:
        serving: The steps after which the nodes serve it.
    """

    serving: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        hosts: Sequence[SiteHost],
        site: Site,
        application: ApplicationSettings,
        *,
        health_path: str,
        host_name: pulumi.Input[str],
        shared: Callable[[str, pulumi.Resource, pulumi.Resource], pulumi.Resource] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Brings the release to the hosts. `shared`, if there is anything to share, makes the step after which it has
        its place: from the release's name, from the step that unpacks it on the first host, and from its parent."""
        super().__init__("php-cluster:release:SiteRelease", name, None, opts)
        self._site, self._application = site, application
        self._release = release_name(site, application)
        first = hosts[0]
        rolled_back_to = first.machine.drift.rollbacks.get(self._release, "")
        if rolled_back_to:
            pulumi.log.warn(
                f"the site stays at release {rolled_back_to[:12]}: it was rolled back from {self._release[:12]}, "
                "which is what appDir holds. Another site ends that, and so does scripts/release rollback "
                f"{self._release[:12]}"
            )
        # Where all are waited for, one step does it for all: each on all would be so many dependencies squared.
        staged = [self._stage(host) for host in hosts]
        linked = [shared(self._release, staged[0], self)] if shared else []
        released = (
            [self._commands(first, "release-commands", application.release_commands, [*staged, *linked])]
            if application.release_commands
            else []
        )
        warm = (
            [
                self._commands(
                    host,
                    "node-commands",
                    application.node_commands,
                    # What is shared is there when it is mounted.
                    [own, *released, *linked, *(host.ready if linked else ())],
                )
                for host, own in zip(hosts, staged, strict=True)
            ]
            if application.node_commands
            else []
        )
        tried = remote_step(
            f"{first.machine.name}-site-tried",
            first.machine,
            "site/site-try.sh",
            parent=self,
            variables={
                "RELEASE": self._release,
                "ROLLED_BACK_TO": rolled_back_to,
                "HEALTH_PATH": health_path,
                "HOST": host_name,
            },
            depends_on=[*staged, *linked, *released, *warm, *first.ready],
        )
        jobs = jobs_of(application)
        self.serving = [
            remote_step(
                f"{host.machine.name}-site",
                host.machine,
                "site/site-switch.sh",
                parent=self,
                variables={
                    "RELEASE": self._release,
                    "ROLLED_BACK_TO": rolled_back_to,
                    "OTHER_STEPS": self._other_steps(host),
                    **jobs.variables,
                },
                depends_on=[*host.ready, tried],
                limit_seconds=_STEP_SECONDS + max((worker.stop_seconds for worker in application.workers), default=0),
            )
            for host in hosts
        ]
        self.register_outputs({"sha256": site.sha256, "release": self._release})

    def _stage(self, host: SiteHost) -> pulumi.Resource:
        step = f"{host.machine.name}-site-staged"
        # For the connection's user to write; the step believes only its hash.
        archive = f"/var/tmp/php-cluster-{self._site.sha256}.tar.gz"  # noqa: S108
        copied = remote_copy(
            f"{host.machine.name}-site-archive",
            host.machine,
            pulumi.FileAsset(str(self._site.archive)),
            archive,
            parent=self,
            depends_on=[host.installed],
            needed_by=step,
        )
        return remote_step(
            step,
            host.machine,
            "site/site-stage.sh",
            parent=self,
            variables={
                "ARCHIVE": archive,
                "HASH": self._site.sha256,
                "RELEASE": self._release,
                "WEB_ROOT": self._application.web_root,
                "WRITABLE_DIRS": "\n".join(self._application.writable_dirs),
            },
            files={
                "COMPILES_PHP": "php/compiles.php",
                "SITE_RELEASE": "site/site-release",
                "RUN_ONCE": "site/run-once",
            },
            depends_on=[copied],
        )

    def _commands(
        self, host: SiteHost, kind: str, commands: Sequence[str], after: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        each = self._application.command_seconds
        return remote_step(
            f"{host.machine.name}-{kind}",
            host.machine,
            "site/site-commands.sh",
            parent=self,
            variables={
                "RELEASE": self._release,
                "KIND": kind,
                "COMMANDS": "\n".join(commands),
                "COMMAND_SECONDS": str(each),
            },
            # The sessions and all that pages have are there for commands, too.
            depends_on=[*after, *host.ready],
            limit_seconds=_STEP_SECONDS + (each + 15) * len(commands),
        )

    def _other_steps(self, host: SiteHost) -> str:
        """The steps of commands that the application does not have, which the node may remember from before."""
        kinds = {
            "release-commands": self._application.release_commands,
            "node-commands": self._application.node_commands,
        }
        return " ".join(f"{host.machine.name}-{kind}" for kind, commands in kinds.items() if not commands)
