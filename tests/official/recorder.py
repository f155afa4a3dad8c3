"""A plugin of pytest: records what every conformance test made the engine do, beside how the test ended.

Loaded by `-p tests.official.recorder` alone; the file RECORD names gets the records.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.official import records
from tests.official.normal import Normal, passwords
from tests.plugins.engine import Run, Stack

_records: dict[str, dict[str, Any]] = {}


@pytest.fixture(autouse=True)
def _recorded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    _records[request.node.nodeid] = {"runs": runs}
    states: dict[str, dict[str, Any]] = {}
    usual = Stack._run

    def run_and_record(stack: Stack, action: Callable[..., object], *, well: bool | None = True) -> Run:
        name, before = stack.stack.name, stack.stored()
        run = usual(stack, action, well=well)
        # To ask the engine takes longer than many a run.
        if name not in states or stack.stored() != before:
            states[name] = stack.resources()
        normal = Normal({*states[name], *run.steps}, {name: "<stack>", **passwords(states[name])})
        runs.append({**records.of_run(run, normal), "failed": run.failed, "state": normal.value(states[name])})
        return run

    monkeypatch.setattr(Stack, "_run", run_and_record)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.outcome != "passed":
        _records.setdefault(item.nodeid, {"runs": []})["outcome"] = report.outcome
    return report


def pytest_sessionfinish() -> None:
    Path(os.environ["RECORD"]).write_text(json.dumps(_records))
