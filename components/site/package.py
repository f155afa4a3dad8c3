"""The PHP site as one archive whose name is its content."""

from __future__ import annotations

import fnmatch
import gzip
import io
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.settings import PROJECT_FOLDER
from components.plan.shared_paths import NOTHING_SHARED, SharedPaths
from components.steps.kept_files import keep

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Site:
    """A packed site.

    Attributes:
        archive: The tar.gz file, relative to the project.
        sha256: Its content's hash in hexadecimal.
        post_max_sizes: What its `.user.ini` files say a request may have.
        closed_folders: Patterns of folders that its `.htaccess` files keep from visitors.
    """

    archive: Path
    sha256: str
    post_max_sizes: tuple[str, ...] = ()
    closed_folders: tuple[str, ...] = ()


def _is_excluded(relative: Path, patterns: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(part, pattern) or fnmatch.fnmatchcase(str(relative), pattern)
        for part in relative.parts
        for pattern in patterns
    )


def site_files(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    """Every file, folder and link of a site, relative to it, in an order that does not depend on the disk."""
    for current, folders, files in os.walk(folder):
        here = Path(current).relative_to(folder)
        folders[:] = sorted(name for name in folders if not _is_excluded(here / name, exclude))
        for name in sorted([*folders, *files]):
            if not _is_excluded(here / name, exclude):
                yield here / name


def _refuse(key: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError(f"{NAMESPACE}:{key}: {problem}\n    {remedy}")


def _too_large(folder: Path, exclude: Sequence[str], limit_mib: int) -> ConfigError:
    sizes: Counter[str] = Counter()
    for relative in site_files(folder, exclude):
        path = folder / relative
        if path.is_file() and not path.is_symlink():
            sizes[relative.parts[0]] += path.stat().st_size
    largest = ", ".join(f"{name} ({size / _MIB:.1f} MiB)" for name, size in sizes.most_common(3))
    return _refuse(
        "appDir",
        f"{folder} packs to more than {limit_mib} MiB; the largest parts are {largest}.",
        f"Leave some out (pulumi config set --path 'appExclude[0]' PATTERN) or allow more "
        f"(pulumi config set appMaxMiB {limit_mib * 2}).",
    )


def _entry(folder: Path, relative: Path) -> tarfile.TarInfo:
    path = folder / relative
    info = tarfile.TarInfo(str(relative))
    info.mtime = 0
    if path.is_symlink():
        target = path.readlink()
        if target.is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
            raise _refuse(
                "appDir",
                f"the link {relative} points to {target}, outside of the site.",
                "Put the file itself there, or leave the link out with appExclude.",
            )
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(target), 0o777
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif path.is_file():
        if not os.access(path, os.R_OK):
            raise _refuse("appDir", f"the file {relative} is not readable.", "Make it readable, or leave it out.")
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    else:
        raise _refuse("appDir", f"{relative} is neither a file nor a folder.", "Leave it out with appExclude.")
    return info


def _pack_shared(archive: tarfile.TarFile, shared: SharedPaths) -> None:
    """Puts the links into their places, so that what is shared makes another release when it changes."""
    for path, target in shared.links.items():
        link = tarfile.TarInfo(path)
        link.type, link.linkname, link.mode, link.mtime = tarfile.SYMTYPE, target, 0o777, 0
        archive.addfile(link)


def _check_shared_link(folder: Path, relative: Path, owner: str) -> None:
    """What is shared moves away from the rest of the site, and a link in it must not be left behind."""
    path = folder / relative
    if path.is_symlink() and not path.resolve().is_relative_to((folder / owner).resolve()):
        raise _refuse(
            "appDir",
            f"the link {relative} points to {path.readlink()}, outside of the shared {owner}.",
            "Put the file itself there, or leave the link out with appExclude.",
        )


def pack(folder: Path, exclude: Sequence[str], limit_mib: int, shared: SharedPaths = NOTHING_SHARED) -> bytes:
    """The site as tar.gz. The same files give the same bytes, whoever owns them and whenever they were touched.

    What is shared is a link there, and what the site ships of it lies in the folder `SHIPPED`.

    Raises:
        ConfigError: it is larger than `limit_mib`, or holds something that cannot be delivered.
    """
    shared.check(folder)
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for relative in site_files(folder, exclude):
            info = _entry(folder, relative)
            if owner := shared.owner_of(relative):
                _check_shared_link(folder, relative, owner)
                info.name = str(shared.packed_as(relative))
            if info.isreg():
                with (folder / relative).open("rb") as file:
                    archive.addfile(info, file)
            else:
                archive.addfile(info)
            if buffer.tell() > limit_mib * _MIB:
                raise _too_large(folder, exclude, limit_mib)
        _pack_shared(archive, shared)
    if buffer.tell() > limit_mib * _MIB:
        raise _too_large(folder, exclude, limit_mib)
    return buffer.getvalue()


def pack_site(
    folder: Path,
    exclude: Sequence[str],
    limit_mib: int,
    project: Path = PROJECT_FOLDER,
    *,
    shared: SharedPaths = NOTHING_SHARED,
) -> Site:
    """Packs the site into a file that is named by its content, and removes archives that are long out of use.

    Raises:
        ConfigError: see `pack`.
    """
    archive = keep(pack(folder, exclude, limit_mib, shared), "site", ".tar.gz", project)
    return Site(archive, archive.name.removesuffix(".tar.gz"))
