"""What a machine says of the steps that ran on it (steps/check-all.sh)."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from components.steps.drift import CHECK_ALL_STEPS


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Where a machine keeps a step and the script that it uses."""
    (tmp_path / "steps").mkdir()
    (tmp_path / "scripts").mkdir()
    content = "[[ ! -e gone ]] || { echo 'writes it'; exit 1; }\n"
    name = f"say.sh.{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    (tmp_path / "scripts" / name).write_text(content)
    (tmp_path / "steps" / "lb1-say").write_text(f'. "{tmp_path}/scripts/{name}"\n')
    (tmp_path / "steps" / "lb1-other").write_text("true\n")
    return tmp_path


def said(machine: Path) -> dict[str, str]:
    text = CHECK_ALL_STEPS.replace("/var/lib/php-cluster", str(machine))
    done = subprocess.run(["bash", "-s"], input=text, capture_output=True, text=True, check=True)
    return {one["step"]: one["reason"] for one in map(json.loads, done.stdout.splitlines())}


def test_nothing_is_said_of_what_is_as_it_was(machine: Path) -> None:
    assert said(machine) == {}


def test_a_difference_is_named(machine: Path) -> None:
    (machine / "steps" / "gone").touch()
    assert said(machine) == {"lb1-say": "writes it"}


@pytest.mark.parametrize("left", ["", "true\n"])
def test_a_script_that_is_not_what_it_was_is_named_and_not_believed(machine: Path, left: str) -> None:
    [script] = (machine / "scripts").iterdir()
    script.write_text(left)
    assert said(machine) == {"lb1-say": f"{script} is damaged"}
