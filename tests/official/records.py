"""Records of what the engine did and told, in a form that can be compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.automation.events import EngineEvent

from tests.official.normal import Normal
from tests.plugins.engine import Run

Record = dict[str, Any]


def run_from(event_log: Path) -> Run:
    """What one `pulumi` command did, from the file that --event-log names."""
    run = Run()
    for line in event_log.read_text().splitlines():
        run.note(EngineEvent.from_json(json.loads(line)))
    return run


def of_run(run: Run, normal: Normal) -> Record:
    """Operations, differences that the plugin saw, outputs, and every message, by resource."""
    said: dict[str, list[str]] = defaultdict(list)
    for message in run.messages:
        how = f"{message.severity}{', passing' if message.passing else ''}"
        said[message.resource or "(no resource)"].append(normal.text(f"{how}: {message.text}"))
    return {
        "operations": run.steps,
        "changed": {name: sorted(keys) for name, keys in run.changed.items() if keys},
        "detailed diff": run.details,
        "outputs": normal.value(run.after),
        # Sorted: what a command prints on its two streams is told in no certain order.
        "messages": {name: sorted(lines) for name, lines in said.items()},
    }


def of_state(deployment: Mapping[str, Any], normal: Normal) -> Record:
    """The resources of an exported state by type and name, and operations that were under way."""
    return {
        "resources": {_short(one["urn"]): normal.value(one) for one in deployment.get("resources", [])},
        "pending": sorted(
            f"{one['type']} {_short(one['resource']['urn'])}" for one in deployment.get("pending_operations") or []
        ),
    }


def of_preview(shown: str, normal: Normal) -> Record:
    """What `pulumi preview --json` printed."""
    parsed = json.loads(shown)
    steps = {f"{one['op']} {_short(one['urn'])}": normal.value(one) for one in parsed.pop("steps", [])}
    # Messages are in the events too, and there by resource.
    return {"steps": steps, "summary": parsed.get("changeSummary")}


def of_exchanges(log: Path, normal: Normal) -> Record:
    """What plugins answered, by method and resource, from the file that PULUMI_DEBUG_GRPC names."""
    found: dict[str, list[Any]] = defaultdict(list)
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = json.loads(line)
        service, _, method = entry["method"].rpartition("/")
        if not service.endswith("pulumirpc.ResourceProvider"):
            continue
        request = entry.get("request") or {}
        about = _short(request["urn"]) if "urn" in request else str(entry.get("metadata", {}).get("name"))
        answer = {key: entry[key] for key in ("response", "errors") if entry.get(key)}
        # A call is logged when it begins, too.
        if answer:
            found[f"{method} {about}"].append(normal.value(answer))
    # In order of their text: a resource that is refreshed and updated has two of a kind, but the order is the engine's.
    return {key: sorted(answers, key=json.dumps) for key, answers in found.items()}


def _short(urn: str) -> str:
    """Type and name, without stack, project and parents' types."""
    kind, _, name = urn.split("::", 2)[-1].rpartition("::")
    return f"{kind.rpartition('$')[2]} {name}"
