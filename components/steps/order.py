"""Steps whose order a table tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pulumi

Waits = Mapping[str, Sequence[str]]
"""Step to the steps that it waits for."""

Make = Callable[[Sequence[pulumi.Resource]], pulumi.Resource]
"""Makes a step that waits for these."""


class StepsInOrder:
    """Makes steps as a table has it, none before those that it waits for.

    The table may name steps that others make: those they tell as soon as they are made (`add`).
    """

    def __init__(self, waits: Waits, makers: Mapping[str, Make]) -> None:
        self._waits, self._makers = waits, makers
        self._made: dict[str, Sequence[pulumi.Resource]] = {}

    def add(self, name: str, *steps: pulumi.Resource) -> None:
        """Tells what the table calls by this name."""
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
