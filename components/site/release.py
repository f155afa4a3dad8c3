"""One release of the site on all PHP nodes: everywhere or nowhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import pulumi

from components.plan.application_settings import ApplicationSettings
from components.plan.settings import Settings
from components.site.jobs import jobs_of
from components.site.package import Site
from components.site.shared_files import seeded
from components.steps.host import Host

_STEP_SECONDS = 300
"""For all that a step does beside waiting for the site's own commands."""


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
        hosts: Sequence[Host],
        site: Site,
        settings: Settings,
        *,
        host_name: pulumi.Input[str],
        running: Mapping[str, Sequence[pulumi.Resource]],
        files_mounted: pulumi.Resource | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Brings the release to the PHP nodes.

        Args:
            name: The component's.
            hosts: The PHP nodes.
            site: What is packed.
            settings: The stack's.
            host_name: The host that the site is asked for by.
            running: Node to the steps after which PHP runs there, with all that is mounted.
            files_mounted: The step after which the first node has what is shared; None where nothing is.
            opts: The component's.
        """
        super().__init__("php-cluster:release:SiteRelease", name, None, opts)
        self._site, self._settings, self._application = site, settings, settings.application
        self._running = running
        self._release = release_name(site, settings.application)
        first = hosts[0]
        self._rolled_back_to = self._rollback(first)
        # Where all are waited for, one step does it for all: each on all would be so many dependencies squared.
        staged = [self._stage(host) for host in hosts]
        linked = (
            [seeded(first, self._release, settings.shared, parent=self, after=[staged[0], files_mounted])]
            if files_mounted
            else []
        )
        released = self._commands(first, "release-commands", settings.application.release_commands, [*staged, *linked])
        warm = [
            step
            for host, own in zip(hosts, staged, strict=True)
            for step in self._commands(
                host, "node-commands", settings.application.node_commands, [own, *released, *linked]
            )
        ]
        tried = self._try(first, host_name, after=[*staged, *linked, *released, *warm])
        self.serving = [self._switch(host, after=[tried]) for host in hosts]
        self.register_outputs({"sha256": site.sha256, "release": self._release})

    def _rollback(self, first: Host) -> str:
        """The release to which the site was rolled back from this one; empty if it was not."""
        rolled_back_to = first.machine.drift.rollbacks.get(self._release, "")
        if rolled_back_to:
            pulumi.log.warn(
                f"the site stays at release {rolled_back_to[:12]}: it was rolled back from {self._release[:12]}, "
                "which is what appDir holds. Another site ends that, and so does scripts/release rollback "
                f"{self._release[:12]}"
            )
        return rolled_back_to

    def _stage(self, host: Host) -> pulumi.Resource:
        step = f"{host.name}-site-staged"
        # For the connection's user to write; the step believes only its hash.
        archive = f"/var/tmp/php-cluster-{self._site.sha256}.tar.gz"  # noqa: S108
        asset = pulumi.FileAsset(str(self._site.archive))
        copied = host.copy(f"{host.name}-site-archive", asset, archive, parent=self, needed_by=step)
        return host.step(
            step,
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
            after=[copied],
        )

    def _commands(
        self, host: Host, kind: str, commands: Sequence[str], after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """The step that runs the application's own commands; none for an application without."""
        if not commands:
            return []
        each = self._application.command_seconds
        step = host.step(
            f"{host.name}-{kind}",
            "site/site-commands.sh",
            parent=self,
            variables={
                "RELEASE": self._release,
                "KIND": kind,
                "COMMANDS": "\n".join(commands),
                "COMMAND_SECONDS": str(each),
            },
            # The sessions and all that pages have are there for commands, too.
            after=[*after, *self._running[host.name]],
            limit_seconds=_STEP_SECONDS + (each + 15) * len(commands),
        )
        return [step]

    def _try(self, first: Host, host_name: pulumi.Input[str], after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        return first.step(
            f"{first.name}-site-tried",
            "site/site-try.sh",
            parent=self,
            variables={
                "RELEASE": self._release,
                "ROLLED_BACK_TO": self._rolled_back_to,
                "HEALTH_PATH": self._settings.health_path,
                "HOST": host_name,
            },
            after=[*after, *self._running[first.name]],
        )

    def _switch(self, host: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        stop_seconds = max((worker.stop_seconds for worker in self._application.workers), default=0)
        return host.step(
            f"{host.name}-site",
            "site/site-switch.sh",
            parent=self,
            variables={
                "RELEASE": self._release,
                "ROLLED_BACK_TO": self._rolled_back_to,
                "OTHER_STEPS": self._other_steps(host),
                **jobs_of(self._application).variables,
            },
            after=[*after, *self._running[host.name]],
            limit_seconds=_STEP_SECONDS + stop_seconds,
        )

    def _other_steps(self, host: Host) -> str:
        """The steps of commands that the application does not have, which the node may remember from before."""
        kinds = {
            "release-commands": self._application.release_commands,
            "node-commands": self._application.node_commands,
        }
        return " ".join(f"{host.name}-{kind}" for kind, commands in kinds.items() if not commands)
