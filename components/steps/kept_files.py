"""Files that the program makes for the engine to deliver: named by their content, and kept while they are of use."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from components.plan.settings import PROJECT_FOLDER

FOLDER = Path(".cluster")
"""Relative to the project: a stack's state must not name a folder of this box."""

KEPT = 5
"""Of each kind: another stack of the same checkout may be at work with an older one."""


def keep(content: bytes, kind: str, suffix: str, project: Path = PROJECT_FOLDER) -> Path:
    """Writes a file that is named by its content, and removes files of its kind that are long out of use.

    Returns:
        Its path, relative to the project. Its name is the content's SHA-256 in hexadecimal, and the suffix.
    """
    folder = project / FOLDER / kind
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)
    target = folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
    if not target.exists():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(target)
    os.utime(target)
    by_age = sorted(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[KEPT:]:
        old.unlink(missing_ok=True)
    return FOLDER / kind / target.name
