"""What set-up leaves in a clone that somebody works in."""

import os
import shutil
from pathlib import Path

import pytest

from tests.commands import PROJECT, said


def in_folder(folder: Path, *command: str) -> str:
    """What a command prints there, without what this shell's own checkout has set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "GIT_"))}
    return said(*command, folder=folder, environment=environment)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of this checkout in a repository of their own, with the toolchain that is there already."""
    folder = tmp_path / "clone"
    for name in in_folder(PROJECT, "git", "ls-files").splitlines():
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    # As git has it, without what this checkout's own set-up put into it.
    (folder / "Pulumi.dev.yaml").write_text(in_folder(PROJECT, "git", "show", ":Pulumi.dev.yaml"))
    in_folder(folder, "git", "init", "--quiet")
    in_folder(folder, "git", "add", ".")
    in_folder(folder, "git", "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "--quiet", "--message=all")
    (folder / ".cluster").mkdir(mode=0o700)
    for part in ("bin", "home", "stamps"):
        shutil.copytree(PROJECT / ".cluster" / part, folder / ".cluster" / part, symlinks=True)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    return folder


def test_git_sees_changed_settings_but_not_the_salt(clone: Path) -> None:
    for _ in range(2):
        in_folder(clone, "scripts/toolchain/setup", "dev")
        assert "encryptionsalt" in (clone / "Pulumi.dev.yaml").read_text()
        assert in_folder(clone, "git", "status", "--short") == ""
    activated = "source scripts/activate; pulumi config set phpNodes 3 --stack dev"
    in_folder(clone, "bash", "-c", activated)
    assert in_folder(clone, "git", "status", "--short") == " M Pulumi.dev.yaml\n"
    assert "encryptionsalt" not in in_folder(clone, "git", "diff")
    in_folder(clone, "scripts/toolchain/setup", "dev")
    assert in_folder(clone, "git", "status", "--short") == " M Pulumi.dev.yaml\n"


def test_a_new_passphrase_follows_one_that_was_thrown_away(clone: Path) -> None:
    for _ in range(2):
        in_folder(clone, "scripts/toolchain/setup", "dev")
        assert "encryptionsalt" in (clone / "Pulumi.dev.yaml").read_text()
        shutil.rmtree(clone / ".cluster" / "state")
        (clone / ".cluster" / "passphrase").unlink()


def test_what_set_up_makes_is_private(clone: Path) -> None:
    in_folder(clone, "scripts/toolchain/setup", "dev")
    modes = {name: (clone / ".cluster" / name).stat().st_mode & 0o777 for name in ("", "state", "passphrase")}
    assert modes == {"": 0o700, "state": 0o700, "passphrase": 0o600}
