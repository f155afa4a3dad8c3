"""The life of a whole stack on real machines with one set of plugins, and what was seen at each step.

Now and then the other set takes over: a state that one of them has written must be nothing new to the other.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.official import records
from tests.official.normal import Normal, passwords
from tests.official.records import Record
from tests.plugins.engine import Run
from tests.stack.cluster import Cluster, leftovers, wait_for
from tests.stack.test_interrupted import steps

STACK = "compare"
"""One name for both lives, which come one after the other: machines and addresses are named after it."""

_UP = ("up", "--yes", "--skip-preview")
_CHANGED = "php1-php"
"""The step that another number of PHP workers runs again."""


@dataclass(frozen=True)
class PluginSet:
    """Plugins of one kind.

    Attributes:
        name: `official` or `stand-ins`.
        folder: Where the executables are.
        home: A PULUMI_HOME of their own, in which they are installed.
    """

    name: str
    folder: Path
    home: Path


class Life:
    """A stack from its first preview to its end.

    Attributes:
        records: What was seen, by step.
        surprises: Commands that failed, or did not fail, against expectation; with what they showed.
    """

    def __init__(self, plugins: PluginSet, others: PluginSet, folder: Path) -> None:
        """Makes an empty stack; `folder` is for its state and logs."""
        folder.mkdir()
        self.records: dict[str, Record] = {}
        self.surprises: list[str] = []
        self.plugins, self.others, self._folder = plugins, others, folder
        self._cluster = Cluster(folder / "state", {"phpNodes": "1"}, name=STACK)
        # Of this life alone. Those of resources that are gone may be shown all the same.
        self._names: set[str] = set()
        self._passwords: dict[str, str] = {}

    def live(self) -> None:
        """All steps, and the end whatever happens."""
        try:
            self._grow()
            self._fail()
            self._be_interrupted()
            self._lose_a_machine()
            self._run("destroyed", "destroy", "--yes", "--skip-preview")
        finally:
            self._cluster.remove()
        assert leftovers(self._cluster.lab) == []

    def _grow(self) -> None:
        self._previews("new stack", self.plugins)
        # Not recorded: it is made once for all stacks of this box, and the second life finds it.
        self._cluster.pulumi(*_UP, "--stack", STACK, "--target", "**::local", "--target", "**::image")
        self._run("created", *_UP)
        self._nothing_to_do("created")
        for who, plugins in self._by_turns():
            self._run(f"refreshed{who}", "refresh", "--yes", "--skip-preview", plugins=plugins)
        self._nothing_to_do("refreshed")
        for (who, plugins), workers in zip(self._by_turns(), ("5", "6"), strict=True):
            self._cluster.configure({"phpWorkers": workers})
            self._previews(f"another input{who}", plugins)
            self._run(f"changed{who}", *_UP, plugins=plugins)
        self._nothing_to_do("changed")

    def _fail(self) -> None:
        broken = self._folder / "broken"
        broken.mkdir()
        (broken / "index.php").write_text("<?php this is no PHP")
        for who, plugins in self._by_turns():
            self._cluster.configure({"appDir": str(broken)})
            self._run(f"a step fails{who}", *_UP, plugins=plugins, fails=True)
            self._run(f"a step has failed{who}, preview", "preview", "--diff", plugins=plugins)
            self._cluster.configure({"appDir": "app"})
            self._run(f"mended{who}", *_UP, plugins=plugins)
        self._nothing_to_do("mended")

    def _be_interrupted(self) -> None:
        self._cluster.configure({"phpWorkers": "7"})
        self._run("interrupted", *_UP, fails=True, interrupted_at=_CHANGED)
        self._run("goes on", *_UP)
        self._nothing_to_do("after the interruption")

    def _lose_a_machine(self) -> None:
        """It is gone with its disk: the machine and all its steps are replaced."""
        self._cluster.lab_command("lose", "php1")
        # Or a preview sees one difference more than the next.
        pool = "gluster --mode=script pool list"
        wait_for("the pool misses php1", lambda: "Disconnected" in self._cluster.enter("lb1", pool))
        for who, plugins in self._by_turns():
            self._previews(f"lost machine{who}", plugins)
        self._run("made again", *_UP)
        self._nothing_to_do("made again")

    def _by_turns(self) -> list[tuple[str, PluginSet]]:
        return [("", self.plugins), (" by the other plugins", self.others)]

    def _previews(self, name: str, plugins: PluginSet) -> None:
        self._run(f"{name}, preview", "preview", "--diff", plugins=plugins)
        self._run(f"{name}, preview in JSON", "preview", "--json", plugins=plugins)

    def _nothing_to_do(self, after: str) -> None:
        for who, plugins in self._by_turns():
            self._run(f"{after}, nothing to do{who}", "preview", "--diff", "--expect-no-changes", plugins=plugins)

    def _run(
        self,
        name: str,
        *arguments: str,
        plugins: PluginSet | None = None,
        fails: bool = False,
        interrupted_at: str | None = None,
    ) -> None:
        """Runs `pulumi` and records it all; `interrupted_at` is the resource at which somebody presses Ctrl-C."""
        files = self._folder / name.replace(" ", "-")
        files.mkdir()
        events, exchanges, shown = files / "events", files / "exchanges", files / "shown"
        environment = {
            **self._cluster.environment,
            "PULUMI_HOME": str((plugins or self.plugins).home),
            "PULUMI_DEBUG_GRPC": str(exchanges),
            # Without it the engine does not know the option --event-log.
            "PULUMI_DEBUG_COMMANDS": "true",
        }
        options = ["--non-interactive", "--color", "never", "--stack", STACK, "--event-log", str(events)]
        with shown.open("w") as output, (files / "errors").open("w") as errors:
            process = subprocess.Popen(
                ["env", "--default-signal=INT", "pulumi", *arguments, *options],
                cwd=self._cluster.checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            try:
                if interrupted_at:
                    self._interrupt(process, interrupted_at)
            finally:
                status = process.wait()
        printed, said = shown.read_text(), (files / "errors").read_text()
        run, deployment = records.run_from(events), self._cluster.export()["deployment"] or {}
        normal = self._normal(run, deployment)
        record = records.of_run(run, normal)
        record["exchanges"] = records.of_exchanges(exchanges, normal)
        record["exit status"], record["errors"] = status, normal.lines(said)
        if "--json" in arguments and status == 0:
            record["preview"] = records.of_preview(printed, normal)
        else:
            record["shown"] = normal.lines(printed)
        if arguments[0] != "preview":
            record["state"] = records.of_state(deployment, normal)
        self.records[name] = record
        if (status != 0) != fails:
            self.surprises.append(f"{name}: exit status {status}\n{printed}{said}")

    def _interrupt(self, process: subprocess.Popen[bytes], resource: str) -> None:
        try:
            wait_for(
                f"{resource} is under way", lambda: process.poll() is not None or resource in steps(self._cluster)[1]
            )
        finally:
            # As a terminal does it: to the engine and all that it has started.
            os.killpg(process.pid, signal.SIGINT)

    def _normal(self, run: Run, deployment: Mapping[str, Any]) -> Normal:
        resources = {one["urn"].rpartition("::")[2]: one for one in deployment.get("resources", [])}
        self._names |= resources.keys() | run.steps.keys()
        self._passwords |= passwords(resources)
        return Normal(self._names, {str(self._folder): "<folder>", **self._passwords})
