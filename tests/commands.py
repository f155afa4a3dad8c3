"""Commands that tests run on this box."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def said(*command: str, folder: Path = PROJECT, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """What a command prints, errors too; that it succeeds is asserted, with all of it shown when it does not."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def in_folder(folder: Path, *command: str) -> str:
    """What a command prints there, without what this shell's own checkout has set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "GIT_"))}
    return said(*command, folder=folder, environment=environment)


def another_checkout(folder: Path) -> Path:
    """The files of this checkout in a repository of their own, with the toolchain that is there already."""
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
