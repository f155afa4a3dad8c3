"""What the engine is told to keep while a stack is protected."""

from typing import Any

import pulumi
from pulumi.runtime import mocks

from components.protection import protect


def test_machines_and_disks_of_bricks_are_kept_and_no_others() -> None:
    kept: set[str] = set()

    class Recorder(mocks.MockMonitor):
        def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
            if request.protect:
                kept.add(request.name)
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    class Nothing(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            return args.name, {}

        def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
            raise AssertionError(args.token)

    def program() -> None:
        # lb2 has burnt: it is to be made again.
        protect(("lb1", "lb2"), {"lb2"})
        machine = pulumi.ComponentResource("test:machine:Machine", "lb1")
        for name in ("lb1-machine", "lb2-machine", "lb2-brick-volume", "php1-machine", "lb1-brick"):
            pulumi.CustomResource("test:x:X", name, opts=pulumi.ResourceOptions(parent=machine))

    pulumi.runtime.set_mocks(Nothing(), monitor=Recorder(Nothing()))
    pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
    assert kept == {"lb1-machine", "lb2-brick-volume"}
