"""What GitHub runs: nothing that a desk cannot run, with no more rights than it needs, for no stranger's words."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import PROJECT

FOLDER = PROJECT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
MAKE = re.compile(r"make (?P<target>[a-z]+)(?: [A-Z]+=\w+)*")
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def workflow(path: Path) -> dict[Any, Any]:
    parsed: dict[Any, Any] = yaml.safe_load(path.read_text())
    return parsed


def triggers(path: Path) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for true.
    found: dict[str, Any] = workflow(path)[True]
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        for name, job in workflow(path)["jobs"].items():
            yield f"{path.name} {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job["steps"]:
            yield name, step


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    else:
        yield str(value)


def test_the_workflows_are_there() -> None:
    assert {path.name: set(triggers(path)) for path in FILES} == {
        "pull-request.yml": {"pull_request"},
        "environment.yml": {"workflow_dispatch"},
    }


def test_every_command_is_one_of_makes() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    commands = [(name, step["run"]) for name, step in steps() if "run" in step]
    assert {command for _, command in commands} >= {"make check", "make unit", "make preview", "make comment"}
    for name, command in commands:
        found = MAKE.fullmatch(command)
        assert found, f"{name}: {command}"
        assert re.search(rf"^{found['target']}: .*##", makefile, re.MULTILINE), f"{name}: make has no {found['target']}"


def test_make_takes_what_the_workflows_set() -> None:
    # STACK, REPORT, SUBSTRATE and the like come from the environment, which make does not refuse when misspelt.
    makefile = (PROJECT / "Makefile").read_text()
    given = {key for name, job in jobs() for key in job.get("env", {}) if not key.startswith(("GIT_", "PULUMI_"))}
    assert given == {"STACK", "REPORT", "OURS", "SUBSTRATE"}
    for key in given - {"OURS"}:
        assert f"$({key})" in makefile


def test_actions_are_pinned_by_commit() -> None:
    used = [(name, step["uses"]) for name, step in steps() if "uses" in step]
    assert used
    assert [each for each in used if not PINNED.fullmatch(each[1])] == []
    for path in FILES:
        for line in path.read_text().splitlines():
            assert "uses:" not in line or re.search(r" # v\d+\.\d+\.\d+$", line), (
                f"{path.name}: which version is {line}?"
            )


def test_rights_are_given_job_by_job() -> None:
    assert [path.name for path in FILES if workflow(path)["permissions"] != {}] == []
    rights = {name: {right for right, kind in job["permissions"].items() if kind == "write"} for name, job in jobs()}
    assert rights == {
        "pull-request.yml test": set(),
        "pull-request.yml preview": {"id-token"},
        "pull-request.yml comment": {"pull-requests"},
        "environment.yml local": set(),
        "environment.yml aws": {"id-token"},
    }


def test_what_may_write_runs_no_pull_request() -> None:
    for name, job in jobs():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name
                if "pull-requests" in job["permissions"]:
                    assert step["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_strangers_get_no_secret_and_no_say() -> None:
    for path in FILES:
        for text in texts(workflow(path)):
            for expression in re.findall(r"\$\{\{(.*?)\}\}", text):
                # Titles, branches, names and texts are whatever their author likes.
                assert not re.search(r"\.(title|body|ref|head_ref|label|login|email|name|message)\b", expression)
                if "secrets." in expression and path.name == "pull-request.yml":
                    assert expression.strip().startswith("env.OURS == 'true' && "), expression
    for name, step in steps():
        assert "${{" not in step.get("run", ""), name


def test_only_main_is_built_and_it_is_always_removed() -> None:
    for name, job in workflow(FOLDER / "environment.yml")["jobs"].items():
        assert f"inputs.substrate == '{name}' && github.ref == 'refs/heads/main'" in job["if"]
        assert job["env"]["SUBSTRATE"] == name
        last = job["steps"][-1]
        assert (last["run"], last["if"]) == ("make environment ONLY=remove", "always()")


def test_runs_do_not_get_into_each_others_way_or_last_for_ever() -> None:
    assert [path.name for path in FILES if "concurrency" not in workflow(path)] == []
    assert [name for name, job in jobs() if not job.get("timeout-minutes")] == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("needs: test", "needs: tests"),
        ("matrix.stack", "matrix.stak"),
        ("timeout-minutes", "time"),
    ],
)
def test_the_linter_finds_what_is_wrong(tmp_path: Path, right: str, wrong: str) -> None:
    broken = tmp_path / "broken.yml"
    for path, clean in ((FOLDER / "pull-request.yml", True), (broken, False)):
        broken.write_text((FOLDER / "pull-request.yml").read_text().replace(right, wrong, 1))
        done = subprocess.run(["actionlint", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == clean, done.stdout
