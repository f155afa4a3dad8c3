"""How often a run that makes everything logs in to each machine: a step, or a copy, is an SSH session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from scripts.benchmark.floor import COPY, REMOTE_COMMAND, revealed
from scripts.benchmark.report import judged, table

SPECIAL = ("lb1", "lb2", "php1")
"""Machines with work for the whole cluster; all others are alike."""


def sessions_of(state: Mapping[str, Any]) -> Counter[str]:
    """Machine to the number of its SSH sessions, from an exported state."""
    resources = state["deployment"]["resources"]
    [stack] = [each for each in resources if each["type"] == "pulumi:pulumi:Stack"]
    names = {machine["login"]["host"]: name for name, machine in revealed(stack["outputs"]["machines"]).items()}
    return Counter(
        names[revealed(each["inputs"]["connection"])["host"]]
        for each in resources
        if each["type"] in (REMOTE_COMMAND, COPY)
    )


def sessions_table(counted: Mapping[str, Counter[str]]) -> str:
    """Each machine's sessions for clusters of several sizes, and whether they are the same in all of them.

    Args:
        counted: What kind of cluster it is, to what `sessions_of` has found in it.
    """
    rows, seen = [], set()
    for title, sessions in counted.items():
        others = sorted({count for name, count in sessions.items() if name not in SPECIAL})
        row = (*(str(sessions[name]) for name in SPECIAL), " or ".join(map(str, others)) or "-")
        seen.add(row)
        rows.append([title, *row])
    lines = [table(["SSH sessions on", *SPECIAL, "each other node"], rows)]
    if len(rows) > 1:
        lines.append(f"a machine's SSH sessions are the same whatever N is: {judged(len(seen) == 1)}")
    return "\n".join(lines)
