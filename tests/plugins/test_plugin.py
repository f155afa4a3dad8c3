"""The plugins as such: versions, what they lack, cancellation."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pulumi
import pytest
from pulumi_command import local

from tests.plugins.engine import VERSIONS, Engine, Run, Stack, bare
from tests.plugins.ssh_server import SshServer, free_port

LIMIT_SECONDS = 20


def test_versions(engine: Engine) -> None:
    listed = json.loads(engine.call("plugin", "ls", "--json"))
    installed = {(plugin["name"], plugin.get("version")) for plugin in listed if plugin["kind"] == "resource"}
    assert set(VERSIONS.items()) <= installed


def test_schema_names_the_resources(engine: Engine) -> None:
    schema = json.loads(engine.call("package", "get-schema", f"command@{VERSIONS['command']}"))
    assert schema["name"] == "command"
    assert {"command:local:Command", "command:remote:Command", "command:remote:CopyToRemote"} <= set(
        schema["resources"]
    )


LESS_USED: Mapping[str, Mapping[str, object]] = {
    "random:index/randomId:RandomId": {"byteLength": 4},
    "random:index/randomUuid:RandomUuid": {},
}


@pytest.mark.parametrize("token", LESS_USED)
def test_other_resources_work_or_are_refused(stack: Stack, token: str) -> None:
    stack.works_or_is_refused(bare(token, LESS_USED[token]), token, lambda run: None)


def test_functions_work_or_are_refused(stack: Stack) -> None:
    def program() -> None:
        pulumi.export("stdout", local.run_output(command="echo said").stdout)

    def said(run: Run) -> None:
        assert run.outputs["stdout"] == "said"

    stack.works_or_is_refused(program, "command:local:run", said)


CANCELLED = """\
import os

from pulumi_command import local, remote

local.Command("working", create="echo $$ >{folder}/working; exec sleep 60")
remote.Command(
    "dialling",
    connection=remote.ConnectionArgs(host="127.0.0.1", port={closed}, password="x", dial_error_limit=-1),
    create="true",
)
key = os.environ["USER_KEY"]
remote.Command(
    "far",
    connection=remote.ConnectionArgs(host="127.0.0.1", port={port}, user="{user}", private_key=key),
    create="touch {folder}/far; until [ -e {folder}/enough ]; do sleep 0.1; done; echo through",
)
"""


def test_cancel(engine: Engine, server: SshServer, tmp_path: Path) -> None:
    """After one interrupt local commands are killed, dialling ends, and a session goes on to its end."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: cancelled\nruntime: python\n")
    (project / "__main__.py").write_text(
        CANCELLED.format(folder=tmp_path, closed=free_port(), port=server.port, user=server.user)
    )
    on_stack = ("--stack", "cancelled", "--cwd", str(project))
    engine.call("stack", "init", "cancelled", "--cwd", str(project))
    shown = tmp_path / "shown"
    with shown.open("w") as output:
        process = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", *on_stack],
            env={**engine.environment(), "USER_KEY": server.user_key.private},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Only the engine gets the interrupt; the plugin must hear of it from the engine.
            start_new_session=True,
        )
    try:
        number = tmp_path / "working"
        wait_until(lambda: (tmp_path / "far").exists() and number.exists() and number.read_text() != "", process)
        wait_until(lambda: "Dial 1/inf failed: retrying" in shown.read_text(), process)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "signal: killed" in shown.read_text() and "context canceled" in shown.read_text(), process)
        assert not Path(f"/proc/{number.read_text().strip()}").exists()
        (tmp_path / "enough").touch()
        process.wait(LIMIT_SECONDS)
    finally:
        (tmp_path / "enough").touch()
        process.kill()
    assert process.returncode != 0
    deployment = json.loads(engine.call("stack", "export", *on_stack))["deployment"]
    kept = [resource for resource in deployment["resources"] if resource["type"].startswith("command:")]
    assert [resource["outputs"]["stdout"] for resource in kept] == ["through"], shown.read_text()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits while the process lives."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert process.poll() is None, "the engine ended too early"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
