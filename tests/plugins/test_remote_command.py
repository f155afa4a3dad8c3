"""command:remote:Command, beyond its connection."""

from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import remote

from tests.plugins.engine import SECRET_MARK, UNKNOWN, Program, Stack, meeting
from tests.plugins.ssh_server import SshServer

RENDEZVOUS = 24
"""Sessions that all wait for each other; each is a connection and a process of the server."""


def command(server: SshServer, /, connection: remote.ConnectionArgs | None = None, **arguments: Any) -> Program:
    """A program of one command, `step`, whose printed text is the stack's output."""

    def program() -> None:
        made = remote.Command("step", connection=connection or server.connection(), **arguments)
        pulumi.export("stdout", made.stdout)
        pulumi.export("stderr", made.stderr)

    return program


def test_life(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    seen = 'echo "$TAKEN_WORD out=$PULUMI_COMMAND_STDOUT err=$PULUMI_COMMAND_STDERR"'

    def program(word: str, trigger: int) -> Program:
        return command(
            server,
            create=f"echo create >>{diary}; echo made $TAKEN_WORD; cat; echo; echo loud >&2",
            update=f"echo update >>{diary}; {seen} >>{diary}; echo updated $TAKEN_WORD",
            delete=f"echo delete >>{diary}; {seen} >>{diary}",
            environment={"TAKEN_WORD": word},
            stdin="given\n",
            triggers=[trigger],
        )

    run = stack.up(program("one", 1))
    assert run.steps["step"] == ["create"]
    assert run.outputs == {"stdout": "made one\ngiven\n", "stderr": "loud"}
    record = stack.resources()["step"]
    assert record["id"].startswith("step") and len(record["id"]) == len("step") + 8
    assert stack.up(program("one", 1)).steps["step"] == ["same"]
    assert diary.read_text() == "create\n"

    run = stack.up(program("two", 1))
    assert run.steps["step"] == ["update"] and run.changed["step"] == {"environment"}
    assert run.outputs == {"stdout": "updated two", "stderr": ""}
    # The server takes the one variable and not the other, which is a courtesy: it is missed, with a warning.
    assert diary.read_text() == "create\nupdate\ntwo out=made one\ngiven\n err=\n"
    assert any(m.severity == "warning" and "PULUMI_COMMAND_STDERR" in m.text for m in run.messages)

    diary.write_text("")
    run = stack.up(program("two", 2))
    assert run.steps["step"] == ["create-replacement", "replace", "delete-replaced"]
    assert diary.read_text() == "create\ndelete\ntwo out=updated two err=\n"

    diary.write_text("")
    assert stack.destroy().steps["step"] == ["delete"]
    assert diary.read_text().startswith("delete\n")


def test_a_changed_connection_runs_it_again(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def program(limit: int) -> Program:
        return command(server, server.connection(dial_error_limit=limit), create=f"echo ran >>{diary}")

    stack.up(program(1))
    run = stack.up(program(2))
    assert run.steps["step"] == ["update"] and run.changed["step"] == {"connection"}
    assert diary.read_text() == "ran\nran\n"


def test_what_is_shown_while_it_runs(stack: Stack, server: SshServer) -> None:
    expected: dict[str | None, set[str]] = {
        None: {"first", "second", "loud"},
        "stdout": {"first", "second"},
        "stderr": {"loud"},
        "stdoutAndStderr": {"first", "second", "loud"},
        "none": set(),
    }

    def program() -> None:
        for level in expected:
            made = remote.Command(
                f"log {level}",
                connection=server.connection(),
                create="echo first; echo second; echo loud >&2",
                logging=None if level is None else remote.Logging(level),
            )
            pulumi.export(f"log {level}", made.stdout)

    run = stack.up(program)
    for level, lines in expected.items():
        assert run.lines(f"log {level}") == lines, level
        assert run.outputs[f"log {level}"] == "first\nsecond"
    assert all(message.passing for message in run.messages if message.resource.startswith("log "))


def test_failures(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    known = server.connection()

    def program() -> None:
        spoken = 'echo seen; echo "loud" >&2; exit 3'
        remote.Command("status", connection=known, create=spoken, stdin="hidden")
        remote.Command("killed", connection=known, create="kill -KILL $$")
        remote.Command("not taken", connection=known, create="true", environment={"NOT_TAKEN": "x"})

    run = stack.fails(program, keep_going=True)
    quoted = 'Process exited with status 3: running "echo seen; echo \\"loud\\" >&2; exit 3":\n'
    run.expect("status", quoted, "\nseen", "\nloud")
    assert "hidden" not in run.errors()
    run.expect("killed", "Process exited with status 137 from signal KILL")
    run.expect("not taken", 'could not set environment variable "NOT_TAKEN"', "AcceptEnv")
    assert not {"status", "killed", "not taken"} & set(stack.resources())

    stays = tmp_path / "stays"
    delete = f"test ! -e {stays}"
    stack.up(command(server, create="echo good", delete=delete))
    stack.fails(command(server, create="echo good", update="echo bad; exit 1", delete=delete))
    record = stack.resources()["step"]
    assert record["outputs"]["stdout"] == "good" and "update" not in record["outputs"]
    stays.touch()
    assert "Process exited with status 1: running" in stack.destroy_fails().errors()
    assert "step" in stack.resources()
    stays.unlink()
    assert stack.destroy().steps["step"] == ["delete"]


def test_preview_connects_nowhere(stack: Stack, server: SshServer) -> None:
    nowhere = server.connection(port=1)

    def program() -> None:
        first = remote.Command("first", connection=nowhere, create="echo one")
        remote.Command(
            "second",
            connection=server.connection(host=first.stdout),
            create=first.stdout.apply(lambda text: f"echo {text}"),
            stdin="known",
        )

    run = stack.preview(program)
    assert run.after["first"]["create"] == "echo one" and run.after["first"]["stdout"] == UNKNOWN
    assert run.after["second"]["create"] == run.after["second"]["stdout"] == UNKNOWN
    assert run.after["second"]["stdin"] == "known"

    stack.up(command(server, create="echo one"))
    run = stack.preview(command(server, create="echo two"))
    assert run.steps["step"] == ["update"]
    assert run.after["step"]["stdout"] == UNKNOWN and run.after["step"]["create"] == "echo two"


def test_secrets(stack: Stack, server: SshServer) -> None:
    def program() -> None:
        made = remote.Command(
            "step",
            connection=server.connection(password="hidden-one"),
            create="cat",
            stdin=pulumi.Output.secret("hidden-two"),
            logging=remote.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(additional_secret_outputs=["stdout"]),
        )
        for name, value in (("stdin", made.stdin), ("stdout", made.stdout), ("stderr", made.stderr)):
            pulumi.export(name, value)

    run = stack.up(program)
    assert run.outputs == {"stdin": SECRET_MARK, "stdout": SECRET_MARK, "stderr": ""}
    assert stack.revealed()["stdout"] == "hidden-two"
    assert run.after["step"]["connection"] == run.after["step"]["stdin"] == SECRET_MARK
    stored = stack.stored()
    assert "hidden" not in stored and server.user_key.private.splitlines()[1] not in stored
    assert "hidden" not in "".join(message.text for message in run.messages)
    assert stack.up(program).steps["step"] == ["same"]


def test_many_at_once(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    """Sessions that wait for each other end only if all run at the same time."""

    def program() -> None:
        for number in range(RENDEZVOUS):
            remote.Command(
                f"waiting{number}",
                connection=server.connection(),
                create=meeting(tmp_path, number, RENDEZVOUS),
            )
        counts = "cat | wc -c"
        big = remote.Command("big", connection=server.connection(), create=counts, stdin="x" * 1_000_000)
        pulumi.export("big", big.stdout)

    run = stack.up(program, parallel=2 * RENDEZVOUS)
    assert run.outputs["big"] == "1000000"


def test_environment_is_there_in_every_command(stack: Stack, server: SshServer) -> None:
    odd = "given = 'odd' $HOME\nline"
    run = stack.up(
        command(server, create='printf "<%s>" "$TAKEN_A" "$TAKEN_B"', environment={"TAKEN_A": odd, "TAKEN_B": "b"})
    )
    assert run.outputs["stdout"] == f"<{odd}><b>"
