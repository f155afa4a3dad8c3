"""Which folders and files of a site its releases share: what `sharedDirs` and `sharedFiles` may be, and where they lie.

Pure data. A release is packed with links in their places, so that it never changes after that, and an older one to
which a site goes back has those of its own. What a release ships there travels beside, for the first time
(scripts/hosts/site/site-shared.sh).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.plan.config_values import NAMESPACE, ConfigError, Reader, text
from components.plan.topology import FILES_MOUNT_POINT

SHARED_FOLDER = f"{FILES_MOUNT_POINT}/shared"
"""Where they are on every PHP node, each under the path that it has in the release."""

SHIPPED = ".php-cluster-shipped"
"""The folder of a packed release with what it ships of them. Its dot keeps it from visitors."""

_INDEX_FILES = ("index.php", "index.html")
_RULE = (
    "a list of paths in the site, relative to appDir, without quotes, `.` and `..`, none of them twice or inside "
    "another one of sharedDirs or sharedFiles"
)


@dataclass(frozen=True)
class SharedPaths:
    """What all releases and all nodes share, by paths relative to the site.

    Attributes:
        dirs: Folders.
        files: Single files.
    """

    dirs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is shared at all."""
        return bool(self.dirs or self.files)

    @property
    def links(self) -> dict[str, str]:
        """Each path and what stands there in a release: a link with this target."""
        return {path: f"{SHARED_FOLDER}/{path}" for path in sorted((*self.dirs, *self.files))}

    def owner_of(self, relative: Path) -> str | None:
        """The shared path that a path of the site is, or lies below."""
        return next((path for path in self.links if relative.is_relative_to(path)), None)

    def packed_as(self, relative: Path) -> Path:
        """Where a path of the site lies in the packed release."""
        return SHIPPED / relative if self.owner_of(relative) else relative

    def check(self, folder: Path) -> None:
        """Compares with what the site ships.

        Args:
            folder: The site.

        Raises:
            ConfigError: something else stands in the place, or on the way to it.
        """
        for key, paths, is_kind, kind in (
            ("sharedDirs", self.dirs, Path.is_dir, "folder"),
            ("sharedFiles", self.files, Path.is_file, "file"),
        ):
            for path in paths:
                place = folder / path
                way = [folder / parent for parent in reversed(PurePosixPath(path).parents)]
                for part in way:
                    if part != folder and (part.is_symlink() or (part.exists() and not part.is_dir())):
                        raise _refuse(key, path, f"{part.relative_to(folder)} is no folder of the site", kind)
                if place.is_symlink():
                    raise _refuse(key, path, "it is a link in the site", kind)
                if place.exists() and not is_kind(place):
                    raise _refuse(key, path, f"it is no {kind} in the site", kind)


NOTHING_SHARED = SharedPaths()


def _refuse(key: str, path: str, problem: str, kind: str) -> ConfigError:
    return ConfigError(
        f"{NAMESPACE}:{key} has {path}, but {problem}\n"
        f"    It must be a {kind} that the site ships, or one that does not exist there yet.\n"
        f"    Example: pulumi config set --path '{key}[0]' {'uploads' if kind == 'folder' else 'config/local.php'}"
    )


def _path(value: Any) -> str:
    path = text(value).removesuffix("/")
    parts = path.split("/")
    if not path.isprintable() or set(path) & set("\\'\"") or any(part in ("", ".", "..") for part in parts):
        raise ValueError
    if parts[0] == SHIPPED:
        raise ValueError
    return path


def _paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_path, value))


def _inside(path: str, other: str) -> bool:
    return PurePosixPath(path).is_relative_to(other)


def read_shared_paths(reader: Reader, web_root: str = "") -> SharedPaths:
    """Reads both keys; what is wrong with them is noted by the reader.

    Args:
        reader: Of the keys at the top.
        web_root: The folder below the site that visitors see; empty for the site itself.
    """
    none: tuple[str, ...] = ()
    dirs = reader.read("sharedDirs", _paths, _RULE, "--path 'sharedDirs[0]' uploads", none)
    files = reader.read("sharedFiles", _paths, _RULE, "--path 'sharedFiles[0]' config/local.php", none)
    named = [*(("sharedDirs", path) for path in dirs), *(("sharedFiles", path) for path in files)]
    for number, (key, path) in enumerate(named):
        others = [other for place, (_, other) in enumerate(named) if place != number]
        if any(_inside(path, other) for other in others):
            reader.refuse(key, _RULE, f"--path '{key}[0]' {_example(key)}", shown=f"{path}, which is shared already")
    root = web_root.strip("/")
    for path in dirs:
        if root and _inside(root, path):
            rule = f"about other folders than the one that visitors see, webRoot {web_root}: no PHP runs in shared ones"
            reader.refuse("sharedDirs", rule, f"--path 'sharedDirs[0]' {root}/uploads", shown=path)
    for path in files:
        if PurePosixPath(path) in {PurePosixPath(root) / index for index in _INDEX_FILES}:
            rule = "about other files than the one that visitors ask for: no PHP runs from shared ones"
            reader.refuse("sharedFiles", rule, "--path 'sharedFiles[0]' config/local.php", shown=path)
    return SharedPaths(dirs, files)


def _example(key: str) -> str:
    return "uploads" if key == "sharedDirs" else "config/local.php"
