"""One release of the site on all PHP nodes: everywhere or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.remote import remote_copy, remote_step
from components.site import Site


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


class SiteRelease(pulumi.ComponentResource):
    """The site unpacked and compiled on every node, tried on the first, and then switched to on all.

    It is tried when it lies ready on each node, and a node switches when it has answered on the first. What serves is
    left alone until then, so a release that cannot work stops before anybody sees it.

    Attributes:
        serving: The steps after which the nodes serve it.
    """

    serving: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        hosts: Sequence[SiteHost],
        site: Site,
        *,
        health_path: str,
        host_name: pulumi.Input[str],
        shared: Callable[[pulumi.Resource, pulumi.Resource], pulumi.Resource] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Brings the release to the hosts. `shared`, if there is anything to share, makes the step after which it has
        its place: from the step that unpacks the release on the first host, and from its parent."""
        super().__init__("php-cluster:release:SiteRelease", name, None, opts)
        staged = [self._stage(host, site) for host in hosts]
        if shared:
            staged.append(shared(staged[0], self))
        first = hosts[0]
        tried = remote_step(
            f"{first.machine.name}-site-tried",
            first.machine,
            "site-try.sh",
            parent=self,
            variables={"HASH": site.sha256, "HEALTH_PATH": health_path, "HOST": host_name},
            # All of them here, and the nodes on this step alone: each on all would be so many dependencies squared.
            depends_on=[*staged, *first.ready],
        )
        self.serving = [
            remote_step(
                f"{host.machine.name}-site",
                host.machine,
                "site-switch.sh",
                parent=self,
                variables={"HASH": site.sha256},
                depends_on=[*host.ready, tried],
            )
            for host in hosts
        ]
        self.register_outputs({"sha256": site.sha256})

    def _stage(self, host: SiteHost, site: Site) -> pulumi.Resource:
        step = f"{host.machine.name}-site-staged"
        # For the connection's user to write; the step believes only its hash.
        archive = f"/var/tmp/php-cluster-{site.sha256}.tar.gz"  # noqa: S108
        copied = remote_copy(
            f"{host.machine.name}-site-archive",
            host.machine,
            pulumi.FileAsset(str(site.archive)),
            archive,
            parent=self,
            depends_on=[host.installed],
            needed_by=step,
        )
        return remote_step(
            step,
            host.machine,
            "site-stage.sh",
            parent=self,
            variables={"ARCHIVE": archive, "HASH": site.sha256},
            files={"COMPILES_PHP": "php/compiles.php"},
            depends_on=[copied],
        )
