#!/usr/bin/env bash
# What a Pulumi program in Python gives to a resource is not what it gets back: 80 is 80.0, and None may be gone
#
# Software: the Pulumi SDK for Python, pulumi 3.272.0, with its own mocks; no engine, no plugin.
# Guess:    an output that a provider merely hands back equals the input: an int stays an int, whole numbers of Python are
#           whole, and a key whose value is None is there or not, alike everywhere.
# Happens:  numbers travel as 64-bit floats. Where the resource's class names the type (port: pulumi.Output[int]) the SDK makes
#           an int of it again; else str() of a port is "80.0". Above 2**53 the number is another one, without an error, also
#           where the type is int. None disappears with its key out of a dict, and stays in a list.
# Matters:  "listen 80.0" in a rendered file and "--uid=33.0" in a command; a size in bytes or a 64-bit id that is off by one;
#           a dict that differs from the one given, so that a comparison in the program finds drift for ever. Mocks in unit
#           tests are handed the floats, too. Outputs of component resources and of generic ones have no declared types.
set -euo pipefail

lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$lab/packages" pulumi==3.272.0
cat >"$lab/program.py" <<'END'
import importlib.metadata

import pulumi

GIVEN = {
    "port": 80,
    "bytes": 2**53 + 1,
    "members": {"php1": 1, "php2": None},
    "names": ["php1", None],
}
SEEN_BY_MOCKS: dict[str, object] = {}


class HandsBack(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict]:
        SEEN_BY_MOCKS.update(args.inputs)
        return args.name, dict(args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict:
        return {}


class Untyped(pulumi.CustomResource):
    def __init__(self, name: str) -> None:
        super().__init__("test:index:Untyped", name, dict(GIVEN))


class Typed(pulumi.CustomResource):
    port: pulumi.Output[int]
    bytes: pulumi.Output[int]

    def __init__(self, name: str) -> None:
        super().__init__("test:index:Typed", name, {"port": GIVEN["port"], "bytes": GIVEN["bytes"]})


def expect(what: str, wanted: object, seen: object) -> None:
    print(f"  {what:<56} {seen!r}")
    if repr(seen) != repr(wanted):
        raise SystemExit(f"changed: it was {wanted!r}")


@pulumi.runtime.test
def resources() -> pulumi.Output:
    untyped, typed = Untyped("untyped"), Typed("typed")
    outputs = (untyped.port, untyped.bytes, untyped.members, untyped.names, typed.port, typed.bytes)
    return pulumi.Output.all(*outputs).apply(RESULTS.extend)


RESULTS: list[object] = []
pulumi.runtime.set_mocks(HandsBack())
print("pulumi", importlib.metadata.version("pulumi"))
resources()
port, size, members, names, typed_port, typed_size = RESULTS
expect("port=80, seen by the mock", 80.0, SEEN_BY_MOCKS["port"])
expect("port=80, an output without a declared type", 80.0, port)
expect("port=80, f'{port}'", "80.0", f"{port}")
expect("port=80, declared as Output[int]", 80, typed_port)
expect("bytes=2**53+1 (9007199254740993), without a type", 9007199254740992.0, size)
expect("bytes=2**53+1, declared as Output[int]", 9007199254740992, typed_size)
expect("members={'php1': 1, 'php2': None}", {"php1": 1.0}, members)
expect("names=['php1', None]", ["php1", None], names)
END
PYTHONPATH=$lab/packages PULUMI_SKIP_UPDATE_CHECK=1 python3 "$lab/program.py"
