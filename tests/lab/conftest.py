"""The machine image, and a way to run its programs without booting a machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.plan import topology
from components.plan.packages import packages_of
from components.plan.topology import Profile
from tests.commands import PROJECT
from tests.release import RELEASE


@dataclass(frozen=True)
class Image:
    """The image that the machines of a default stack start from."""

    folder: Path

    def command(self, *words: str, files: Path | None = None, own_network: bool = True) -> list[str]:
        """What runs a program on a copy of the image that goes with it; `files` appear at /files."""
        options = ["--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--pipe"]
        options += [f"--directory={self.folder}", "--machine=php-cluster-test", "--capability=CAP_NET_ADMIN"]
        options += ["--private-network"] if own_network else []
        options += [f"--bind={files}:/files"] if files else []
        return ["systemd-nspawn", *options, *words]

    def run(self, script: str, files: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a shell script; its output and status are the caller's to judge."""
        return subprocess.run(
            self.command("bash", "-c", script, files=files),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def extension(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PHP's extension, compiled as a PHP node does it, without a network."""
    folder = tmp_path_factory.mktemp("extension")
    shutil.copytree(PROJECT / "scripts/hosts/sessions", folder / "sessions")
    done = image.run(
        f"""
        mkdir -p /usr/lib/php-cluster
        cp -r /files/sessions/extension /usr/lib/php-cluster/
        bash /files/sessions/build-extension make {RELEASE.php} /files/php_cluster.so
        """,
        files=folder,
    )
    assert done.returncode == 0, done.stdout
    return folder / "php_cluster.so"


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Made, or found, as a stack would."""
    plan = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
    packages = sorted({package for machine in plan.machines for package in packages_of(machine, ())})
    made = subprocess.run(
        ["scripts/lab/image", "up"],
        cwd=PROJECT,
        env={**os.environ, "SUITE": RELEASE.suite, "PACKAGES": " ".join(packages)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    yield Image(Path(made.stdout.strip()))
