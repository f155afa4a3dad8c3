"""What the engine refuses to delete or to replace while a stack is protected: what has the sessions."""

from __future__ import annotations

from collections.abc import Collection

import pulumi

from components.steps.drift import Drift


def protect(brick_hosts: Collection[str], drift: Drift) -> None:
    """Has the engine keep the machines and disks of these brick hosts, whatever makes them.

    A machine that is gone may be made again: its brick is filled by the other one.
    """
    disks = {f"{host}-brick-volume" for host in brick_hosts}
    machines = {f"{host}-machine": host for host in brick_hosts}

    def keep(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.name not in disks and (args.name not in machines or machines[args.name] in drift.gone):
            return None
        return pulumi.ResourceTransformationResult(
            args.props, pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True))
        )

    pulumi.runtime.register_stack_transformation(keep)
