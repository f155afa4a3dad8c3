"""A box that cannot run machines says so before anything is set up for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands import PROJECT

NOBODY = 65534


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts of this one, with a set-up that only says that it ran."""
    copy = tmp_path / "check out"
    shutil.copytree(PROJECT / "scripts" / "lab", copy / "scripts" / "lab")
    (copy / "scripts" / "toolchain").mkdir()
    for name in ("up", "activate", "toolchain/lib.sh"):
        shutil.copy2(PROJECT / "scripts" / name, copy / "scripts" / name)
    (copy / "scripts" / "toolchain" / "setup").write_text("#!/bin/sh\necho set-up ran\nexit 9\n")
    (copy / "scripts" / "toolchain" / "setup").chmod(0o755)
    # For nobody to enter.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    return copy


def up(checkout: Path, stack: str = "dev") -> subprocess.CompletedProcess[str]:
    """As somebody who is not root, and whom sudo asks for a password."""
    sudo = checkout / "sudo"
    sudo.write_text("#!/bin/sh\nexit 1\n")
    sudo.chmod(0o755)
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    path = f"{checkout}:{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {"PATH": path, "HOME": str(checkout)}
    return subprocess.run(
        [*nobody, "scripts/up", stack], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_it_says_so_at_once(checkout: Path) -> None:
    done = up(checkout)
    assert done.returncode == 1 and "set-up ran" not in done.stdout
    assert "This box cannot run local machines. It lacks:\n  - root: " in done.stderr
    assert "make preview" in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        "config:\n  php-cluster:substrate: aws\n",
        'config:\n  php-cluster:phpNodes: "2"\n  "php-cluster:substrate": "existing"\n',
        # The stack's settings are not all in the file: Pulumi is asked when it is there.
        "environment:\n  - production\nconfig:\n  php-cluster:phpNodes: 2\n",
    ],
)
def test_other_substrates_are_not_asked_for_it(checkout: Path, settings: str) -> None:
    (checkout / "Pulumi.prod.yaml").write_text(settings)
    done = up(checkout, "prod")
    assert (done.returncode, done.stdout) == (9, "set-up ran\n"), done.stderr


@pytest.mark.parametrize(
    "settings", ["config:\n  php-cluster:substrate: local\n", "config:\n  php-cluster:phpNodes: 3\n"]
)
def test_local_is_what_is_not_named(checkout: Path, settings: str) -> None:
    (checkout / "Pulumi.prod.yaml").write_text(settings)
    assert "cannot run local machines" in up(checkout, "prod").stderr


def test_what_set_up_installs_is_not_missed_before_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "basename", "grep", "df", "tail", "stat", "mkdir", "sudo", "true", "nice"):
        if found := shutil.which(name):
            (tmp_path / "bin" / name).symlink_to(found)
    text = f"PATH={tmp_path}/bin; source() {{ :; }}; BOX_STATE={tmp_path}/state\n"
    text += (PROJECT / "scripts" / "lab" / "check").read_text()

    def said(*arguments: str) -> str:
        command = ["bash", "-s", "--", *arguments]
        return subprocess.run(command, input=text, cwd=PROJECT, capture_output=True, text=True, check=False).stderr

    assert "mmdebstrap: apt-get install mmdebstrap" in said()
    assert "apt-get install" not in said("--before-set-up") and "bridges" not in said("--before-set-up")
