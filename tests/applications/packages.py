"""Applications as Debian's packages have them, unpacked into a folder that a site is made of."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from components.plan.debian import RELEASES
from tests.commands import said

RELEASE = RELEASES[12]
"""What the machines run: the applications are made for its PHP, and need a library of its that Debian 13 lacks."""

CACHE = Path.home() / ".cache" / "php-cluster" / "applications"
_MOST_LINKS = 40
"""How many links in a row are followed, as Linux does."""


def unpacked(packages: Iterable[str], root: Path) -> None:
    """Unpacks packages into a tree as a machine would have it, without running their scripts.

    Args:
        packages: Names; of each the version that this box's apt would install, fetched unless it was before.
        root: The tree.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    # One line each: the address in quotes, the file's name, its size, its hash.
    offered = said("apt-get", "download", "--quiet", "--print-uris", *packages).splitlines()
    files = [line.split()[1] for line in offered if line.startswith("'")]
    lacking = [file.split("_")[0] for file in files if not (CACHE / file).exists()]
    if lacking:
        said("apt-get", "download", "--quiet", "--option", "APT::Sandbox::User=root", *lacking, folder=CACHE)
    for file in files:
        said("dpkg-deb", "--extract", str(CACHE / file), str(root))


def version_of(package: str) -> str:
    """The version that this box's apt would install, as the table in docs/applications.md has it."""
    shown = said("apt-cache", "show", "--no-all-versions", package)
    return next(line.removeprefix("Version: ") for line in shown.splitlines() if line.startswith("Version: "))


def _followed(root: Path, path: Path) -> Path:
    """Where a path leads to when `root` is the root of the file system, whatever links are on the way."""
    left, reached, links = list(path.relative_to(root).parts), root, 0
    while left:
        part = left.pop(0)
        if part == "..":
            reached = reached if reached == root else reached.parent
            continue
        reached /= part
        if reached.is_symlink():
            links += 1
            assert links <= _MOST_LINKS, f"too many links at {path}"
            target = reached.readlink()
            reached = root if target.is_absolute() else reached.parent
            left = [*target.parts[1 if target.is_absolute() else 0 :], *left]
    return reached


def copied(root: Path, source: str, target: Path) -> None:
    """Copies a folder of the tree, with files in the place of links: Debian keeps what many packages need in one.

    A link to what only an installed package has (a certificate list, Apache's rules) is left out.
    """
    real = _followed(root, root / source)
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(real.iterdir()):
        place = _followed(root, entry)
        if place.is_dir():
            copied(root, str(place.relative_to(root)), target / entry.name)
        elif place.is_file():
            shutil.copy2(place, target / entry.name)
