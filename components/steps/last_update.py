"""What the last update left in the stack's state, and the one place that knows how it is written there.

A step stands in the state by its name, `volume-create`, or `php2-mount` where each machine has one; its variables are
lines of its standard input. An update that failed or was interrupted leaves its resources there too, while it may lose
the stack's outputs. So whatever has to be known of the past is asked here, and read from the resources.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import pulumi

_ASSIGNMENT = re.compile(r"""([A-Z][A-Z0-9_]*)=((?:'[^']*'|"'"|[^\s'"])*)\n""")
"""A line that `assignments` writes: words of no meaning to a shell, and what `shlex.quote` puts around others."""


def assignments(variables: Mapping[str, str]) -> str:
    """Variables as lines of shell. Of a step's own ones, STEP is the first: by that line they are found again."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _assigned(text: str) -> dict[str, str]:
    """The variables of a step's text, each as a shell would read it."""
    found: dict[str, str] = {}
    position = text.find("\nSTEP=") + 1
    while line := _ASSIGNMENT.match(text, position):
        name, value = line.groups()
        found[name] = value[1:-1].replace("'\"'\"'", "'") if value.startswith("'") else value
        position = line.end()
    return found


class LastUpdate:
    """The resources that the last update left. Of a stack that never was, there are none."""

    def __init__(self, resources: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Takes the outputs of each command, random value, and thing of a cloud, by the resource's name."""
        self._resources = resources or {}
        self._variables: dict[str, dict[str, str]] = {}

    @classmethod
    def of_this_stack(cls) -> Self:
        """Reads the state of the stack that the program runs for."""
        state = _state_of(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
        return cls(
            {
                urn.rpartition("::")[2]: resource["outputs"]
                for urn, resource in state.items()
                if resource["type"].startswith(("aws:", "command:", "random:"))
            }
        )

    @property
    def names(self) -> Sequence[str]:
        """The name of every resource."""
        return list(self._resources)

    def has(self, *names: str) -> bool:
        """Whether it has left any of these resources."""
        return not self._resources.keys().isdisjoint(names)

    def machines_with(self, step: str) -> list[str]:
        """The machines that have a step of this name: `brick` is the step `lb1-brick` of `lb1`."""
        parts = (name.partition("-") for name in self._resources)
        return [machine for machine, _, rest in parts if rest == step]

    def variable(self, step: str, name: str) -> str | None:
        """The value that a step was last run with; None without that step, or without that variable of it."""
        if step not in self._variables:
            self._variables[step] = _assigned(self._outputs(step).get("stdin") or "")
        return self._variables[step].get(name)

    def environment(self, name: str) -> Mapping[str, str]:
        """The environment of a command that was run on this box."""
        return self._outputs(name).get("environment") or {}

    def tags(self, name: str) -> Mapping[str, str]:
        """The tags of a thing of a cloud."""
        return self._outputs(name).get("tags") or {}

    def triggers(self, name: str) -> Sequence[str]:
        """What would have replaced a command by being another one."""
        return self._outputs(name).get("triggers") or []

    def result(self, name: str) -> str:
        """A random value; empty when there is none of this name."""
        return str(self._outputs(name).get("result", ""))

    @property
    def connections(self) -> Mapping[str, Mapping[str, Any]]:
        """Machine to its connection, of those that were reached: each has this step, and it is the first command."""
        outputs = {machine: self._outputs(f"{machine}-install") for machine in self.machines_with("install")}
        return {machine: each["connection"] for machine, each in outputs.items() if "connection" in each}

    def _outputs(self, name: str) -> Mapping[str, Any]:
        return self._resources.get(name, {})


def _state_of(stack: str) -> Mapping[str, Any]:
    pauses = iter((0.1, 0.2, 0.4, 0.8, 1.6, 3.2))
    while True:
        try:
            # As behind pulumi.StackReference, which would stand as a resource in every preview.
            state = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": stack})
            return cast(Mapping[str, Any], state.value["outputs"])
        except Exception as problem:
            # The engine may be writing the very file: with the file backend it is empty for a moment.
            if "failed to load checkpoint" not in str(problem) or (pause := next(pauses, None)) is None:
                raise
            time.sleep(pause)
