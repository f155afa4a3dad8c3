"""The programs of `scripts/hosts/`, as one archive that every machine gets once.

Steps call them by name and content, `mount.sh.<hash>`, and bring nothing but their variables. The engine writes the
whole state down twice for each step: with all texts in it, that took a third of the time of a large `up`
(docs/decisions/13-scripts-travel-once.md).
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import tarfile
from pathlib import Path

from components.plan.settings import PROJECT_FOLDER
from components.steps.kept_files import keep

HOST_SCRIPTS = PROJECT_FOLDER / "scripts" / "hosts"

LIBRARY = Path("steps", "lib.sh")
"""Functions that scripts of several folders use. What those of one folder share is in a file of that name there."""

TEMPLATE = ".j2"
"""How a file is called that is made into a configuration file here, and so no business of a machine."""

_OTHERS = re.compile(r"/\.[^/]*$|~$|/__pycache__/")
"""What editors and Python itself leave beside them."""

HASH_CHARACTERS = 32
"""Of a SHA-256 in hexadecimal. Machines believe a file what its name says, wherever they have it from."""


def files_like(pattern: str) -> tuple[str, ...]:
    """The files of `scripts/hosts/` that match a glob, in order."""
    return tuple(sorted(str(path.relative_to(HOST_SCRIPTS)) for path in HOST_SCRIPTS.glob(pattern)))


@functools.cache
def stored_name(file: str) -> str:
    """What a file of `scripts/hosts/` is called on machines: `php/serve-php` is `serve-php.<hash>` there."""
    path = HOST_SCRIPTS / file
    return f"{path.name}.{hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_CHARACTERS]}"


def libraries(script: str) -> list[str]:
    """What is read before a script: the library of all, and that of its folder if there is one."""
    own = f"{Path(script).parent}/{LIBRARY.name}"
    return [str(LIBRARY), *([own] if (HOST_SCRIPTS / own).is_file() else [])]


def pack() -> bytes:
    """All of them as tar. The same files give the same bytes, whatever packs them: nothing is compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(HOST_SCRIPTS.rglob("*")):
            if path.is_file() and path.suffix != TEMPLATE and not _OTHERS.search(str(path)):
                info = tarfile.TarInfo(stored_name(str(path.relative_to(HOST_SCRIPTS))))
                content = path.read_bytes()
                info.size, info.mode = len(content), 0o600
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@functools.cache
def archive() -> Path:
    """The archive's file, relative to the project."""
    return keep(pack(), "scripts", ".tar")
