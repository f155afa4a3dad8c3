"""command:local:Command."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from tests.plugins.engine import SECRET_MARK, UNKNOWN, Engine, Program, Run, Stack, bare, meeting

RENDEZVOUS = 64
"""Commands that all wait for each other."""


def command(**arguments: Any) -> Program:
    """A program of one command, `step`, whose printed text is the stack's output."""

    def program() -> None:
        made = local.Command("step", **arguments)
        pulumi.export("stdout", made.stdout)
        pulumi.export("stderr", made.stderr)

    return program


def test_life_with_update(stack: Stack, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    seen = 'echo "$0 $WORD out=$PULUMI_COMMAND_STDOUT err=$PULUMI_COMMAND_STDERR"'

    def program(word: str) -> Program:
        return command(
            create=f"echo create >>{diary}; echo made $WORD; echo; echo loud >&2",
            update=f"echo update >>{diary}; {seen} >>{diary}; echo updated $WORD",
            delete=f"echo delete >>{diary}; {seen} >>{diary}",
            environment={"WORD": word},
        )

    run = stack.up(program("one"))
    assert run.steps["step"] == ["create"]
    # One line's end goes, and only one.
    assert run.outputs == {"stdout": "made one\n", "stderr": "loud"}
    record = stack.resources()["step"]
    assert record["id"].startswith("step") and len(record["id"]) == len("step") + 8
    assert record["outputs"]["environment"] == {"WORD": "one"}

    run = stack.up(program("one"))
    assert run.steps["step"] == ["same"]
    run = stack.refresh()
    assert run.steps["step"] == ["refresh"]
    assert diary.read_text() == "create\n"

    run = stack.up(program("two"))
    assert run.steps["step"] == ["update"] and run.changed["step"] == {"environment"}
    assert run.outputs == {"stdout": "updated two", "stderr": ""}
    assert diary.read_text() == "create\nupdate\n/bin/sh two out=made one\n err=loud\n"
    assert stack.resources()["step"]["id"] == record["id"]

    diary.write_text("")
    assert stack.destroy().steps["step"] == ["delete"]
    assert diary.read_text() == "delete\n/bin/sh two out=updated two err=\n"


def test_what_runs_on_a_change(stack: Stack, tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def program(word: str, delete: str) -> Program:
        def make() -> None:
            environment = {"WORD": word}
            note = f"echo $WORD >>{diary}"
            local.Command("create only", create=f"echo create >>{diary}; {note}", environment=environment)
            local.Command("update only", update=f"echo update >>{diary}; {note}", environment=environment)
            local.Command("nothing", environment=environment)
            local.Command("delete only", delete=f"echo {delete} >>{diary}")

        return make

    run = stack.up(program("one", "first delete"))
    assert diary.read_text() == "create\none\n"
    assert run.after["nothing"] == {"environment": {"WORD": "one"}, "stdout": "", "stderr": ""}

    diary.write_text("")
    run = stack.up(program("two", "second delete"), parallel=1)
    assert {name: run.steps[name] for name in ("create only", "update only", "nothing", "delete only")} == {
        "create only": ["update"],
        "update only": ["update"],
        "nothing": ["update"],
        "delete only": ["update"],
    }
    lines = diary.read_text().splitlines()
    assert sorted(lines) == ["create", "two", "two", "update"]

    diary.write_text("")
    stack.up(lambda: None)
    assert diary.read_text() == "second delete\n"


def test_triggers_replace(stack: Stack, tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def program(trigger: object, word: str) -> Program:
        def make() -> None:
            for name, first in (("new first", None), ("old first", True)):
                local.Command(
                    name,
                    create=f"echo {name}: create $WORD >>{diary}",
                    update=f"echo {name}: update >>{diary}",
                    delete=f"echo {name}: delete $WORD >>{diary}",
                    environment={"WORD": word},
                    triggers=[trigger, {"a": [1, True]}],
                    opts=pulumi.ResourceOptions(delete_before_replace=first),
                )

        return make

    stack.up(program("one", "first"), parallel=1)
    diary.write_text("")
    run = stack.up(program(2, "second"), parallel=1)
    assert run.steps["new first"] == ["create-replacement", "replace", "delete-replaced"]
    assert run.steps["old first"] == ["delete-replaced", "replace", "create-replacement"]
    assert {"triggers", "environment"} == run.changed["new first"]
    lines = diary.read_text().splitlines()
    assert [line for line in lines if line.startswith("new")] == [
        "new first: create second",
        "new first: delete first",
    ]
    assert [line for line in lines if line.startswith("old")] == [
        "old first: delete first",
        "old first: create second",
    ]

    diary.write_text("")
    assert stack.up(program(2, "second")).steps["new first"] == ["same"]
    assert diary.read_text() == ""


def test_where_and_with_what_it_runs(stack: Stack, tmp_path: Path) -> None:
    def program() -> None:
        pulumi.export("cwd", local.Command("cwd", create="pwd", dir=str(tmp_path)).stdout)
        pulumi.export(
            "bash",
            local.Command("bash", create="echo ${BASH_VERSION:+yes}", interpreter=["bash", "-c"]).stdout,
        )
        pulumi.export("words", local.Command("words", create="last", interpreter=["printf", "<%s>", "a b"]).stdout)
        pulumi.export("empty", local.Command("empty", create="echo $0", interpreter=[]).stdout)
        pulumi.export("stdin", local.Command("stdin", create="cat", stdin="two\nlines\n\n").stdout)
        pulumi.export("closed", local.Command("closed", create="cat; echo end").stdout)
        pulumi.export(
            "environment",
            local.Command(
                "environment",
                create='echo "$INHERITED $GIVEN $BOTH"',
                environment={"GIVEN": "given = 'odd' $HOME", "BOTH": "over"},
            ).stdout,
        )
        pulumi.export("big", local.Command("big", create="cat | wc -c", stdin="x" * 1_000_000).stdout)
        pulumi.export(
            "long",
            local.Command("long", create="head -c 300000 /dev/zero | tr '\\0' x", logging=local.Logging.NONE).stdout,
        )
        pulumi.export("unicode", local.Command("unicode", create="echo 'grüße 🎈'").stdout)

    run = stack.up(program, environment={"INHERITED": "box", "BOTH": "under"})
    outputs = run.outputs
    assert len(outputs.pop("long")) == 300_000
    assert outputs == {
        "cwd": str(tmp_path),
        "bash": "yes",
        "words": "<a b><last>",
        "empty": "/bin/sh",
        "stdin": "two\nlines\n",
        "closed": "end",
        "environment": "box given = 'odd' $HOME over",
        "big": "1000000",
        "unicode": "grüße 🎈",
    }


def test_previous_output_is_optional(stack: Stack) -> None:
    def program(word: str) -> Program:
        return command(
            create='echo "$WORD ${PULUMI_COMMAND_STDOUT-none}"',
            environment={"WORD": word},
            add_previous_output_in_env=False,
        )

    stack.up(program("one"))
    assert stack.up(program("two")).outputs["stdout"] == "two none"


def test_what_is_shown_while_it_runs(stack: Stack) -> None:
    expected: Mapping[str | None, set[str]] = {
        None: {"first", "second", "loud"},
        "stdout": {"first", "second"},
        "stderr": {"loud"},
        "stdoutAndStderr": {"first", "second", "loud"},
        "none": set(),
    }

    def program() -> None:
        for level in expected:
            made = local.Command(
                f"log {level}",
                create="echo first; echo second; echo loud >&2",
                logging=None if level is None else local.Logging(level),
            )
            pulumi.export(f"log {level}", made.stdout.apply(lambda text: text))

    run = stack.up(program)
    for level, lines in expected.items():
        assert run.lines(f"log {level}") == lines, level
        assert run.outputs[f"log {level}"] == "first\nsecond"
    assert all(message.passing for message in run.messages if message.resource.startswith("log "))


def test_a_line_too_long_to_show(engine: Engine, stack: Stack) -> None:
    if not engine.has_standins():
        pytest.skip("release 1.2.1 reads no further, and the command waits for ever")
    program = command(create="head -c 70000 /dev/zero | tr '\\0' x; echo; echo more")
    stack.fails(program).expect("step", "waits for ever", "logging is `none`")


def test_output_that_is_no_text(stack: Stack) -> None:
    def program() -> None:
        local.Command("out", create="printf 'x\\377y'")
        local.Command("err", create="printf 'x\\377y' >&2")
        local.Command("failing", create="printf 'x\\377y'; exit 3")

    run = stack.fails(program, keep_going=True)
    for name in ("out", "err"):
        run.expect(name, "grpc: error while marshaling: string field contains invalid UTF-8")
    run.expect("failing", "exit status 3: running", "x\ufffdy")
    # What is not kept may be anything.
    stack.up(command(create="true", delete="printf '\\377'"))
    assert stack.destroy().steps["step"] == ["delete"]


def test_failures(stack: Stack, tmp_path: Path) -> None:
    def program() -> None:
        local.Command("status", create='echo seen; echo "loud" >&2; exit 3')
        local.Command("killed", create="kill -KILL $$")
        local.Command("no folder", create="true", dir="/nonexistent")
        local.Command("no shell", create="true", interpreter=["no-such-shell"])

    run = stack.fails(program, keep_going=True)
    # The two streams come together as they are read.
    run.expect("status", 'exit status 3: running "echo seen; echo \\"loud\\" >&2; exit 3":\n', "\nseen", "\nloud")
    run.expect("killed", "signal: killed")
    run.expect("no folder", "no such file or directory")
    run.expect("no shell", "executable file not found")
    assert not {"status", "killed", "no folder", "no shell"} & set(stack.resources())

    # A failed update leaves what was, and is tried again; a failed delete leaves the resource.
    stays = tmp_path / "stays"
    good = command(create="echo good", delete=f"test ! -e {stays}")
    stack.up(good)
    stack.fails(command(create="echo good", update="echo bad; exit 1", delete=f"test ! -e {stays}"))
    record = stack.resources()["step"]
    assert record["outputs"]["stdout"] == "good" and "update" not in record["outputs"]
    stays.touch()
    run = stack.destroy_fails()
    assert "exit status 1: running" in run.errors()
    assert "step" in stack.resources()
    stays.unlink()
    assert stack.destroy().steps["step"] == ["delete"]


def test_preview_runs_nothing_and_knows_what_it_can(stack: Stack, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def program(word: str) -> Program:
        def make() -> None:
            first = local.Command("first", create=f"touch {ran}; echo $WORD", environment={"WORD": word})
            second = local.Command("second", create=first.stdout.apply(lambda text: f"echo {text}"), stdin="known")
            pulumi.export("environment", first.environment)
            pulumi.export("stdin", second.stdin)
            pulumi.export("second", second.stdout)

        return make

    run = stack.preview(program("one"))
    assert not ran.exists()
    assert run.after["first"]["stdout"] == run.after["first"]["stderr"] == UNKNOWN
    assert run.after["first"]["environment"] == {"WORD": "one"}
    assert run.after["second"]["create"] == UNKNOWN and run.after["second"]["stdin"] == "known"

    stack.up(program("one"))
    ran.unlink()
    run = stack.preview(program("one"))
    assert run.steps["first"] == run.steps["second"] == ["same"]
    run = stack.preview(program("two"))
    assert not ran.exists()
    assert (run.steps["first"], run.steps["second"]) == (["update"], ["update"])
    assert run.after["first"]["stdout"] == run.after["second"]["stdout"] == UNKNOWN
    assert run.after["first"]["environment"] == {"WORD": "two"}
    # Nothing was changed by looking.
    assert stack.up(program("one")).steps["second"] == ["same"]


def test_secrets(stack: Stack) -> None:
    def program() -> None:
        made = local.Command(
            "step",
            create="echo $WORD; cat",
            environment={"WORD": pulumi.Output.secret("hidden-one")},
            stdin=pulumi.Output.secret("hidden-two"),
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions(additional_secret_outputs=["stdout"]),
        )
        again = local.Command("again", create=made.stdout.apply(lambda text: f"echo '{text}' | wc -w"))
        for name, value in (("stdin", made.stdin), ("stdout", made.stdout), ("stderr", made.stderr)):
            pulumi.export(name, value)
        pulumi.export("again", again.create)
        pulumi.export("count", again.stdout)

    run = stack.up(program)
    assert {name for name, value in run.outputs.items() if value == SECRET_MARK} == {
        "stdin",
        "stdout",
        "again",
    }
    assert run.outputs["count"] == "2"
    assert stack.revealed()["stdout"] == "hidden-one\nhidden-two"
    assert run.after["step"]["environment"]["WORD"] == run.after["step"]["stdin"] == SECRET_MARK
    assert "hidden" not in stack.stored() and "hidden" not in "".join(m.text for m in run.messages)
    run = stack.up(program)
    assert run.steps["step"] == run.steps["again"] == ["same"]


def test_found_files_are_outputs(stack: Stack, tmp_path: Path) -> None:
    def program() -> None:
        made = local.Command(
            "step",
            create="mkdir -p deep && echo a >deep/a.txt && echo b >b.txt && echo c >secret.txt",
            dir=str(tmp_path),
            asset_paths=["**.txt", "!secret*"],
            archive_paths=["deep/**"],
        )
        pulumi.export("assets", made.assets.apply(lambda assets: sorted(assets or {})))
        pulumi.export("archive", made.archive.apply(lambda archive: sorted(getattr(archive, "assets", {}))))

    def found(run: Run) -> None:
        assert run.outputs["assets"] == ["b.txt", "deep/a.txt"]
        assert set(run.outputs["archive"]) == {"deep/a.txt"}

    stack.works_or_is_refused(program, "Paths of command:local:Command", found)


def test_many_at_once(stack: Stack, tmp_path: Path) -> None:
    """Commands that wait for each other end only if all run at the same time."""

    def program() -> None:
        for number in range(RENDEZVOUS):
            local.Command(f"waiting{number}", create=meeting(tmp_path, number, RENDEZVOUS))

    run = stack.up(program, parallel=2 * RENDEZVOUS)
    created = [name for name, steps in run.steps.items() if steps == ["create"] and name.startswith("waiting")]
    assert len(created) == RENDEZVOUS


def test_a_detached_process_is_left_behind(stack: Stack, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    run = stack.up(
        command(
            create=f"setsid sh -c 'echo $$ >{note}; exec sleep 60' </dev/null >/dev/null 2>&1 & "
            f"until [ -s {note} ]; do sleep 0.01; done; echo started"
        )
    )
    process = int(note.read_text())
    try:
        assert run.outputs["stdout"] == "started"
        assert Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"sleep\0")
    finally:
        os.kill(process, signal.SIGKILL)


WRONG: Mapping[str, tuple[Mapping[str, object], str]] = {
    "unknown": ({"create": "true", "creat": "true"}, "creat"),
    "number": ({"create": 3}, "create"),
}


@pytest.mark.parametrize(("inputs", "word"), WRONG.values(), ids=WRONG.keys())
def test_wrong_inputs_are_told_in_preview(stack: Stack, inputs: Mapping[str, object], word: str) -> None:
    assert word in stack.refused(bare("command:local:Command", inputs)).errors()
