"""What was done when, from the engine's events; which kind of step it was; which steps the last one waited for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

ENGINE = "engine"
"""The kind of what is no step: before the first and after the last of them."""

_MACHINE = r"(?:lb|php)\d+"
_UNTOUCHED = frozenset({"same", "read", "refresh"})


@dataclass(frozen=True)
class Event:
    """One event of the engine.

    Attributes:
        at: When it arrived, in seconds since the run began.
        content: As the engine wrote it.
    """

    at: float
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """The work for one resource.

    Attributes:
        urn: Which one.
        begin: In seconds since the run began.
        end: In seconds since the run began.
    """

    urn: str
    begin: float
    end: float

    @property
    def name(self) -> str:
        """The resource's name."""
        return name_of(self.urn)

    @property
    def kind(self) -> str:
        """What is alike on every machine."""
        return kind_of(self.urn)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


def name_of(urn: str) -> str:
    """The last part of a URN."""
    return urn.rpartition("::")[2]


def kind_of(urn: str) -> str:
    """The resource's name without the machines in it: `lb1-peer-probe-php1` is a `peer-probe`."""
    return re.sub(rf"^{_MACHINE}-|-{_MACHINE}$", "", name_of(urn))


def _is_work(metadata: Mapping[str, Any]) -> bool:
    """Whether a provider did something: components and providers themselves are the engine's bookkeeping."""
    state = metadata.get("new") or metadata.get("old") or {}
    return bool(state.get("custom")) and not metadata["type"].startswith("pulumi:")


def spans(events: Iterable[Event]) -> list[Span]:
    """From each step's beginning to its end, in the order in which they ended. What stayed the same is left out."""
    begun: dict[tuple[str, str], float] = {}
    done = []
    for event in events:
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            metadata = event.content.get(kind, {}).get("metadata")
            if metadata is None or metadata["op"] in _UNTOUCHED or not _is_work(metadata):
                continue
            step = (metadata["urn"], metadata["op"])
            if kind == "resourcePreEvent":
                begun[step] = event.at
            elif step in begun:
                done.append(Span(metadata["urn"], begun.pop(step), event.at))
    return done


def with_engine(steps: Iterable[Span], total: float) -> list[Span]:
    """The steps, with the time before the first and after the last of them; `total` is the whole run's, in seconds."""
    known = list(steps)
    first = min((step.begin for step in known), default=total)
    last = max((step.end for step in known), default=total)
    return [Span("::engine starts", 0, first), *known, Span("::engine ends", last, total)]


def touched(events: Iterable[Event]) -> Counter[str]:
    """What was done to resources, components included: operation to number of resources.

    A replaced resource counts once, as `replace`.
    """
    operations: dict[str, str] = {}
    for event in events:
        metadata = event.content.get("resOutputsEvent", {}).get("metadata")
        if metadata is not None and metadata["op"] not in _UNTOUCHED:
            operation = "replace" if "replace" in metadata["op"] else metadata["op"]
            operations[metadata["urn"]] = operation
    return Counter(operations.values())


def critical_path(steps: Iterable[Span], needs: Mapping[str, Set[str]]) -> list[Span]:
    """From the step that ended last, each time to that one among its dependencies that ended last; first one first.

    Args:
        steps: Of a finished run.
        needs: URN to the URNs that it depends on; those without a step are passed over.
    """
    by_urn = {step.urn: step for step in steps}
    if not by_urn:
        return []
    path = [max(by_urn.values(), key=lambda step: step.end)]
    while before := [by_urn[urn] for urn in needs.get(path[0].urn, ()) if urn in by_urn]:
        path.insert(0, max(before, key=lambda step: step.end))
    return path
