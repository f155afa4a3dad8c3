"""Steps that are made in the order of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pulumi

Waits = Mapping[str, Sequence[str]]
"""Step to the steps that it waits for."""

Make = Callable[[Sequence[pulumi.Resource]], pulumi.Resource]
"""Makes a step that waits for these."""


class StepsInOrder:
    """Makes each step of a table after those that it waits for.

    The table may name steps that are made elsewhere: `add` registers them.
    """

    def __init__(self, waits: Waits, makers: Mapping[str, Make]) -> None:
        self._waits, self._makers = waits, makers
        self._made: dict[str, Sequence[pulumi.Resource]] = {}

    def add(self, name: str, *steps: pulumi.Resource) -> None:
        """Registers steps, made elsewhere, by the name that the table has for them."""
        self._made[name] = steps

    def before(self, name: str) -> list[pulumi.Resource]:
        """What a step waits for by the table, made if need be."""
        return [step for needed in self._waits.get(name, ()) for step in self._steps(needed)]

    def made(self) -> Mapping[str, pulumi.Resource]:
        """All steps that can be made here, made if need be."""
        return {name: self._steps(name)[0] for name in self._makers}

    def _steps(self, name: str) -> Sequence[pulumi.Resource]:
        if name not in self._made:
            self._made[name] = [self._makers[name](self.before(name))]
        return self._made[name]
