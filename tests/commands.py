"""Commands that tests run on this box."""

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
