"""A machine that is ready for its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_command as command

from components.plan.topology import PlannedMachine
from components.steps.last_update import LastUpdate
from components.steps.machine import Machine
from components.steps.remote import remote_copy, remote_step


@dataclass(frozen=True)
class Host:
    """A machine, with what has to be done there before it can be used.

    Attributes:
        planned: Its name, role and address.
        machine: How it is reached.
        ready: The steps after which it has what is needed of it.
    """

    planned: PlannedMachine
    machine: Machine
    ready: Sequence[pulumi.Resource] = ()

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.planned.name

    def after(self, *steps: pulumi.Resource) -> Host:
        """The same machine, ready after these steps too."""
        return replace(self, ready=(*self.ready, *steps))

    def step(
        self,
        name: str,
        script: str,
        *,
        parent: pulumi.Resource,
        variables: Mapping[str, pulumi.Input[str]] | None = None,
        files: Mapping[str, str] | None = None,
        after: Sequence[pulumi.Resource] | None = None,
        limit_seconds: int = 300,
        quiet: bool = False,
        again_with: str = "",
    ) -> command.remote.Command:
        """Runs a script there, as `remote_step` does.

        Args:
            after: The steps to wait for in place of `ready`.
        """
        return remote_step(
            name,
            self.machine,
            script,
            parent=parent,
            variables=variables,
            files=files,
            depends_on=self.ready if after is None else after,
            limit_seconds=limit_seconds,
            quiet=quiet,
            again_with=again_with,
        )

    def step_left(
        self,
        step: str,
        script: str,
        last: LastUpdate,
        *,
        parent: pulumi.Resource,
        variables: Mapping[str, pulumi.Input[str]] | None = None,
        after: Sequence[pulumi.Resource] | None = None,
    ) -> pulumi.Resource | None:
        """Takes back what the machine's step of this name has set up, if `last` has left it, or this step.

        Args:
            step: Its name, without that of the machine.
            after: The steps to wait for in place of `ready`.
        """
        done, left = f"{self.name}-{step}", f"{self.name}-{step}-left"
        if not last.has(done, left):
            return None
        return self.step(left, script, parent=parent, variables=variables, after=after)

    def copy(
        self, name: str, source: pulumi.Asset, remote_path: str, *, parent: pulumi.Resource, needed_by: str
    ) -> command.remote.CopyToRemote:
        """Copies a file there once it is ready, as `remote_copy` does."""
        return remote_copy(
            name, self.machine, source, remote_path, parent=parent, depends_on=self.ready, needed_by=needed_by
        )
