"""Debian's Prometheus for tests: unpacked, not installed, which would start a daemon on this box."""

import functools
import subprocess
import tempfile
from pathlib import Path

from tests.commands import PROJECT, said

FOLDER = PROJECT / ".cluster" / "prometheus"


@functools.cache
def program(name: str) -> Path:
    """`prometheus` or `promtool`; Debian's package is fetched once."""
    if not FOLDER.is_dir():
        FOLDER.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as folder:
            _download(Path(folder))
            [package] = Path(folder).glob("*.deb")
            said("dpkg-deb", "--extract", str(package), f"{folder}/unpacked")
            Path(folder, "unpacked").rename(FOLDER)
    return FOLDER / "usr" / "bin" / name


def _download(folder: Path) -> None:
    download = ("apt-get", "--quiet", "--quiet", "-o", 'APT::Sandbox::User="root"', "download", "prometheus")
    # A box whose lists are old asks for a version that is gone.
    if subprocess.run(download, cwd=folder, capture_output=True, check=False).returncode != 0:
        said("apt-get", "--quiet", "--quiet", "update")
        said(*download, folder=folder)
