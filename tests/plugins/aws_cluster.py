"""Stacks in the emulated cloud (scripts/toolchain/aws), and what the engine did to their resources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scripts.toolchain.aws.world import AwsStack


class AwsCluster(AwsStack):
    """A stack of substrate `aws` whose settings change."""

    def set(self, path: str, value: str) -> None:
        self.configure({path: value})

    def unset(self, path: str) -> None:
        self.pulumi("config", "rm", "--stack", self.name, "--path", path)

    def events(self, verb: str, *arguments: str, check: bool = True) -> Events:
        """Runs `up`, `preview` or `destroy`; what was done to each resource."""
        log = self.backend.parent / "events.json"
        log.unlink(missing_ok=True)
        skip = [] if verb == "preview" else ["--yes", "--skip-preview"]
        done = self.pulumi(verb, *skip, *arguments, "--stack", self.name, "--event-log", str(log), check=check)
        lines = log.read_text().splitlines() if log.exists() else []
        return Events(done.stdout + done.stderr, done.returncode, [json.loads(line) for line in lines])

    def urn(self, name: str) -> str:
        resources = self.export()["deployment"]["resources"]
        return next(str(one["urn"]) for one in resources if one["urn"].endswith(f"::{name}"))


@dataclass
class Events:
    """What one run of the engine did."""

    said: str
    status: int
    log: list[dict[str, Any]]

    def steps(self) -> dict[str, set[str]]:
        """Resource name to the operations that were done on it, those that left it alone excepted."""
        found: dict[str, set[str]] = {}
        for event in self.log:
            step = (event.get("resourcePreEvent") or {}).get("metadata")
            if step and step["op"] != "same":
                found.setdefault(step["urn"].rpartition("::")[2], set()).add(step["op"])
        return found
