"""PHP's own tests, out of Debian's source package, in the cache of this user; the project itself has none of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.php.phpt import Phpt

SESSIONS = ("ext/session/tests/*",)
OUTPUT = (
    "tests/output/*",
    "tests/basic/header*",
    "ext/standard/tests/general_functions/header*",
    "ext/standard/tests/general_functions/ob_*",
    "ext/standard/tests/network/set*cookie*",
    "ext/zlib/tests/ob_*",
)
"""Files of the tests about buffers and headers, with what they include."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "php-cluster"
_VERSION = "VERSION"


@dataclass(frozen=True)
class Package:
    """A source package of Debian's, `php8.2` for instance, with its version."""

    name: str
    version: str


@dataclass(frozen=True)
class Source:
    """The tests of one version of PHP.

    Attributes:
        version: Of the package that they are of: the one that was asked for, or the newest that could be had instead.
        folder: Where they lie, as in PHP's source.
    """

    version: str
    folder: Path

    def files(self, patterns: Iterable[str]) -> Iterator[str]:
        """The names of all files that match a pattern, those of subfolders too."""
        names = (str(path.relative_to(self.folder)) for path in sorted(self.folder.rglob("*")) if path.is_file())
        return (name for name in names if _matches(name, patterns))

    def tests(self, patterns: Iterable[str]) -> list[Phpt]:
        """The tests among them."""
        names = (name for name in self.files(patterns) if name.endswith(".phpt"))
        return [Phpt.parse(name, (self.folder / name).read_bytes()) for name in names]


def of_this_box() -> dict[str, str]:
    """Where this box has its own Debian packages from."""
    line = "$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", line, "Created-By: Packages"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    lines = {line.removeprefix("Debian ") for line in said if line.startswith("Debian ")}
    return {"list": "".join(f"{line}\n" for line in sorted(lines))}


def fetched(package: Package, places: Sequence[Mapping[str, str]], cache: Path = _CACHE) -> Source:
    """The tests of that package, from the cache, or else from the first place that has them.

    A mirror may have lost the sources of what it still offers, or of what a machine was given some time ago. Then the
    newest ones that can be had are taken, of an older PHP if need be: whether a test is right is asked of the very PHP
    that runs in any case.

    Args:
        package: What the machine runs.
        places: Where packages come from, each as the text of apt's files by the ending of their names.
        cache: The folder that keeps them.

    Raises:
        LookupError: No version of the package can be had.
        CalledProcessError: A list of packages cannot be had.
    """
    folder = cache / f"php-tests-{package.name}-{package.version}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".php-tests-") as partial:
            version = _unpack(package, places, Path(partial))
            done = Path(partial) / "tests"
            (done / _VERSION).write_text(version)
            # Another run may have been quicker.
            if not folder.exists():
                shutil.move(done, folder)
    return Source((folder / _VERSION).read_text(), folder)


def _unpack(package: Package, places: Sequence[Mapping[str, str]], work: Path) -> str:
    """Leaves the tests in the folder `tests` there, and says of which version they are."""
    for number, place in enumerate(places):
        apt = _Apt(work / str(number), place)
        for candidate in apt.candidates(package):
            archive = apt.archive(candidate)
            if archive is None:
                continue
            with tarfile.open(archive) as packed:
                for member in packed:
                    # The first folder carries the version.
                    member.name = member.name.partition("/")[2]
                    if _matches(member.name, SESSIONS + OUTPUT) and (content := packed.extractfile(member)):
                        # The tar module of Debian 12's Python has no filters yet.
                        path = work / "tests" / member.name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(content.read())
            return candidate.version
    tried = "".join(text for place in places for text in place.values())
    raise LookupError(f"neither {package.name} nor an older PHP can be had as source from:\n{tried}")


class _Apt:
    """apt with package sources of its own, which leaves the box's lists as they are."""

    def __init__(self, work: Path, sources: Mapping[str, str]) -> None:
        self.work = work
        for folder in ("lists/partial", "archives/partial", "from"):
            (work / folder).mkdir(parents=True)
        for ending, text in sources.items():
            (work / "from" / f"machine.{ending}").write_text(of_sources(text))
        settings = {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": work / "from",
            "Dir::State::Lists": work / "lists",
            "Dir::Cache": work,
            # apt's own user could not enter the folder.
            "APT::Sandbox::User": "root",
            "Acquire::Retries": 3,
        }
        self.options = [f"--option={name}={value}" for name, value in settings.items()]
        self._run("apt-get", "update", "--quiet=2")

    def candidates(self, wanted: Package) -> Iterator[Package]:
        """Those that the lists have: the one that is wanted, then the newest first, then older PHPs."""
        if wanted.version in self._versions(wanted.name):
            yield wanted
        release, _, minor = wanted.name.rpartition(".")
        for number in range(int(minor), -1, -1):
            name = f"{release}.{number}"
            for version in sorted(self._versions(name), key=_debian_order, reverse=True):
                if Package(name, version) != wanted:
                    yield Package(name, version)

    def _versions(self, name: str) -> set[str]:
        try:
            shown = self._run("apt-cache", "showsrc", "--only-source", name)
        except subprocess.CalledProcessError:
            return set()  # there is no such package
        return {line.removeprefix("Version: ") for line in shown.splitlines() if line.startswith("Version: ")}

    def archive(self, package: Package) -> Path | None:
        """The archive with PHP's own part of the source; None when it cannot be had."""
        wanted = f"{package.name}={package.version}"
        try:
            self._run("apt-get", "source", "--quiet=2", "--download-only", "--tar-only", wanted)
        except subprocess.CalledProcessError:
            return None
        [archive] = self.work.glob("*.orig.tar.xz")
        return archive

    def _run(self, command: str, verb: str, *arguments: str) -> str:
        done = subprocess.run(
            [command, *self.options, verb, *arguments], cwd=self.work, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, [command, verb, *arguments], done.stdout, done.stderr)
        return done.stdout


def of_sources(text: str) -> str:
    """The same place, of which the sources are wanted; `text` has lines, or paragraphs, as apt takes both."""
    text = re.sub(r"^deb(?=\s)", "deb-src", text, flags=re.MULTILINE)
    return re.sub(r"^Types:.*", "Types: deb-src", text, flags=re.MULTILINE)


def _debian_order(version: str) -> list[tuple[int, str]]:
    """Numbers as numbers: enough for versions of one PHP, such as 8.2.32-1~deb12u1."""
    words = version.replace("~", ".").replace("-", ".").replace("+", ".").split(".")
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
