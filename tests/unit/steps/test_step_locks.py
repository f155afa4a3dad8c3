"""Two runs of a step wait for each other, and nobody but root can hold them up."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.commands import PROJECT

NOBODY = 65534


def library(folder: Path) -> str:
    """The host scripts' library with another folder in place of those that it writes to."""
    text = (PROJECT / "scripts" / "hosts" / "steps" / "lib.sh").read_text()
    for place in ("/run/php-cluster", "/var/lib/php-cluster"):
        text = text.replace(place, f"{folder}{place}")
    return text


def step(folder: Path, body: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"STEP": "a-step", "PATH": os.environ["PATH"], **variables}
    text = library(folder) + body
    return subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def test_a_second_run_sees_the_first(tmp_path: Path) -> None:
    # What a look at the machine says while the step runs.
    inner = tmp_path / "look"
    inner.write_text(library(tmp_path) + "echo free\n")
    done = step(tmp_path, f"CHECK=yes bash {inner} 9>&- && exit 1; echo $?\n")
    assert done.stdout.splitlines() == ["it is still running since an earlier update", "3"]
    assert step(tmp_path, "echo free", CHECK="yes").stdout == "free\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_nobody_else_can_hold_the_lock(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    assert step(tmp_path, "echo free").stdout == "free\n"
    [lock] = tmp_path.glob("**/*a-step")
    held = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "flock", "--nonblock", lock, "true"],
        capture_output=True,
        check=False,
    )
    assert held.returncode != 0 and b"Permission denied" in held.stderr
