"""What the engine refuses to delete or to replace while a stack is protected: what has the sessions."""

from __future__ import annotations

from collections.abc import Collection

import pulumi


def protect(brick_hosts: Collection[str], replaced: Collection[str]) -> None:
    """Has the engine keep the machines and disks of these brick hosts, whatever makes them.

    Args:
        brick_hosts: Their names.
        replaced: Machines that may be made again all the same: one that is gone, whose brick is filled by the other
            one, and one that is upgraded and keeps its disk.
    """
    disks = {f"{host}-brick-volume" for host in brick_hosts}
    machines = {f"{host}-machine": host for host in brick_hosts}

    def keep(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.name not in disks and (args.name not in machines or machines[args.name] in replaced):
            return None
        return pulumi.ResourceTransformationResult(
            args.props, pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True))
        )

    pulumi.runtime.register_stack_transformation(keep)
