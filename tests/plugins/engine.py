"""Drives plugins through the real engine: small programs, run in this process by the automation API.

Which plugins: those that `scripts/toolchain/setup` put into PULUMI_HOME, or with OFFICIAL_PLUGINS=FOLDER the
executables `pulumi-resource-command` and `pulumi-resource-random` of that folder. The same tests judge both
kinds; nothing in them asks which it is, save that what a plugin lacks must be refused in a stand-in's words.
"""

from __future__ import annotations

import datetime
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import CommandError
from pulumi.automation.events import EngineEvent

VERSIONS = {"command": "1.2.1", "random": "4.21.4"}

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine shows in place of a value that is not known before the resource exists."""

SECRET_MARK = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "[secret]",
}
"""What the engine's events show in place of a secret."""

Program = Callable[[], None]


@dataclass(frozen=True)
class Message:
    """One line that the engine was given to show."""

    resource: str
    severity: str
    text: str
    passing: bool
    """Shown while the resource is at work, and not kept: the engine's word is ephemeral."""


@dataclass
class Run:
    """What one `pulumi up`, `preview`, `refresh` or `destroy` did."""

    steps: dict[str, list[str]] = field(default_factory=dict)
    """Resource name to the engine's operations on it, in order."""
    order: list[tuple[str, str]] = field(default_factory=list)
    """Operations and resource names in the order in which they began."""
    after: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Resource name to its outputs after its last step, with `UNKNOWN` and `SECRET_MARK` in them."""
    changed: dict[str, set[str]] = field(default_factory=dict)
    """Resource name to the inputs whose difference the plugin reported."""
    details: dict[str, dict[str, str]] = field(default_factory=dict)
    """Resource name to what the plugin said of each differing property: its path to the kind of change."""
    messages: list[Message] = field(default_factory=list)
    failed: bool = False

    def note(self, event: EngineEvent) -> None:
        if event.diagnostic_event:
            seen = event.diagnostic_event
            if seen.severity == "debug":
                return
            self.messages.append(Message(_name(seen.urn), seen.severity, seen.message.strip(), bool(seen.ephemeral)))
        elif event.resource_pre_event:
            step = event.resource_pre_event.metadata
            name = _name(step.urn)
            self.steps.setdefault(name, []).append(str(step.op.value))
            self.order.append((str(step.op.value), name))
            self.changed.setdefault(name, set()).update(step.diffs or [])
            for path, change in (step.detailed_diff or {}).items():
                self.details.setdefault(name, {})[path] = (
                    f"{change.diff_kind.value}{', of an input' * change.input_diff}"
                )
        elif event.res_outputs_event and event.res_outputs_event.metadata.new:
            self.after[_name(event.res_outputs_event.metadata.urn)] = event.res_outputs_event.metadata.new.outputs or {}

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; secrets are `SECRET_MARK`."""
        return dict(self.after[_STACK])

    def errors(self) -> str:
        return "\n".join(message.text for message in self.messages if message.severity == "error")

    def expect(self, resource: str, *parts: str) -> None:
        """Asserts that this resource failed, with an error that has all these parts."""
        said = [m.text for m in self.messages if m.severity == "error" and m.resource == resource]
        missing = [part for part in parts if part not in "\n".join(said)]
        assert said and not missing, f"{resource} said {said}, which lacks {missing}"

    def lines(self, resource: str) -> set[str]:
        """What the resource's command was seen to print while it ran."""
        return {
            message.text for message in self.messages if message.resource == resource and message.severity == "info"
        }


_STACK = "stack"


def _name(urn: str | None) -> str:
    type_and_name = (urn or "").split("::", 2)[-1]
    kind, _, name = type_and_name.rpartition("::")
    return _STACK if kind == "pulumi:pulumi:Stack" else name


class _Quick(automation.Stack):
    """After each run the SDK starts three more processes for outputs and history; the events tell it all."""

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        now = datetime.datetime.now()
        return automation.UpdateSummary("update", now, "", {}, {}, "succeeded", now, 0)

    def outputs(self) -> automation.OutputMap:
        return {}

    def revealed(self) -> automation.OutputMap:
        """The outputs in clear, as `pulumi stack output --show-secrets` gives them."""
        return super().outputs()


@dataclass
class Engine:
    """The engine on PATH, with a home, a backend and a passphrase for these tests."""

    folder: Path
    home: Path
    command: automation.PulumiCommand = field(default_factory=lambda: automation.PulumiCommand(skip_version_check=True))

    def environment(self) -> dict[str, str]:
        # The box's own agent must not help a connection that should fail.
        inherited = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        return {
            **inherited,
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{self.folder}",
            "PULUMI_CONFIG_PASSPHRASE": "conformance",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def call(self, *arguments: str) -> str:
        """Runs the `pulumi` command; what it prints on its standard output."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"pulumi {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, plugins: Path) -> None:
        """Puts the executables of a folder into the home, as `OFFICIAL_PLUGINS` asks for."""
        for name, version in VERSIONS.items():
            executable = plugins / f"pulumi-resource-{name}"
            assert os.access(executable, os.X_OK), f"OFFICIAL_PLUGINS={plugins} has no executable {executable.name}"
            self.call("plugin", "install", "--reinstall", "resource", name, version, "--file", str(executable))

    def has_standins(self) -> bool:
        """Whether the plugin `command` is a stand-in: it has the words in which one refuses."""
        folder = self.home / "plugins" / f"resource-command-v{VERSIONS['command']}"
        return b"this stand-in for pulumi-" in (folder / "pulumi-resource-command").read_bytes()

    def stack(self) -> Stack:
        return Stack(self)


class Stack:
    """One stack, run with whatever program a test gives it next."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        workspace = automation.LocalWorkspace(
            project_settings=automation.ProjectSettings(name="conformance", runtime="python", main=str(engine.folder)),
            program=lambda: None,
            env_vars=engine.environment(),
            secrets_provider="passphrase",
            pulumi_command=engine.command,
        )
        self.stack = _Quick(f"s{secrets.token_hex(4)}", workspace, StackInitMode.CREATE)

    def up(self, program: Program, *, parallel: int | None = None, environment: Mapping[str, str] | None = None) -> Run:
        """`pulumi up` that must end well; `environment` is the engine's, and so the plugin's."""
        usual = self.stack.workspace.env_vars
        self.stack.workspace.env_vars = {**usual, **(environment or {})}
        try:
            return self._run(lambda note: self.stack.up(program=program, parallel=parallel, on_event=note))
        finally:
            self.stack.workspace.env_vars = usual

    def fails(self, program: Program, *, keep_going: bool = False) -> Run:
        """`pulumi up` that must fail; with `keep_going`, after every resource was tried."""
        return self._run(
            lambda note: self.stack.up(program=program, on_event=note, continue_on_error=keep_going),
            well=False,
        )

    def preview(self, program: Program) -> Run:
        return self._run(lambda note: self.stack.preview(program=program, on_event=note))

    def refused(self, program: Program) -> Run:
        """`pulumi preview` that must fail."""
        return self._run(lambda note: self.stack.preview(program=program, on_event=note), well=False)

    def destroy(self) -> Run:
        return self._run(lambda note: self.stack.destroy(on_event=note))

    def destroy_fails(self) -> Run:
        return self._run(lambda note: self.stack.destroy(on_event=note), well=False)

    def refresh(self) -> Run:
        return self._run(lambda note: self.stack.refresh(on_event=note))

    def _run(self, action: Callable[[Callable[[EngineEvent], None]], object], *, well: bool | None = True) -> Run:
        """Runs the engine, which must end `well`, or must not, or may do either (None)."""
        run = Run()
        try:
            action(run.note)
        except CommandError as error:
            run.failed = True
            assert well is not True, str(error)
        assert run.failed or well is not False, "the engine ended well"
        return run

    def revealed(self) -> dict[str, Any]:
        """The stack's outputs in clear."""
        return {name: output.value for name, output in self.stack.revealed().items()}

    def resources(self) -> dict[str, dict[str, Any]]:
        """Resource name to its record in the state, secrets in clear."""
        deployment = self.stack.export_stack().deployment
        found = (deployment or {}).get("resources", [])
        return {_name(resource["urn"]): resource for resource in found}

    def stored(self) -> str:
        """The state as it lies in the backend, for anyone who can read the file."""
        [file] = self.engine.folder.glob(f".pulumi/stacks/*/{self.stack.name}.json")
        return file.read_text()

    def works_or_is_refused(self, program: Program, what: str, check: Callable[[Run], None]) -> None:
        """An official plugin does it; a stand-in may refuse it in preview, by its name and with a way out."""
        run = self._run(lambda note: self.stack.preview(program=program, on_event=note), well=None)
        if not run.failed:
            check(self.up(program))
            return
        text = run.errors()
        assert what in text and "stand-in" in text and "OFFICIAL_PLUGINS" in text, text
        assert "pulumi plugin install resource" in text and "https://github.com/pulumi/pulumi-" in text, text


def meeting(folder: Path, number: int, size: int) -> str:
    """Shell text that ends well when `size` of its kind run at once; after 30 s they all fail."""
    return (
        f"touch {folder}/{number}; i=0; until [ $(ls {folder} | wc -l) -ge {size} ]; do sleep 0.2; "
        f"i=$((i+1)); [ $i -lt 150 ] && [ ! -e {folder}.off ] || {{ touch {folder}.off; exit 9; }}; done"
    )


def bare(token: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> Program:
    """A program of one resource, `bare`, made without the plugin's SDK, which itself refuses wrong inputs."""
    version = VERSIONS[token.partition(":")[0]]

    def program() -> None:
        pulumi.CustomResource(
            token,
            "bare",
            dict(inputs),
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(version=version)),
        )

    return program
