"""Debian's Prometheus for tests: unpacked, not installed, which would start a daemon on this box."""

import contextlib
import functools
import socket
import subprocess
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.commands import PROJECT, said
from tests.stack.cluster import Cluster, request, wait_for
from tests.unit.docs.pages import page

Query = Callable[[str], list[dict[str, Any]]]
"""Expression to what Prometheus finds: series with their labels and values."""

MONITORING = PROJECT / "docs" / "monitoring"
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


@contextlib.contextmanager
def collecting(cluster: Cluster, folder: Path, rules: Path, seconds: int = 1) -> Iterator[Query]:
    """A Prometheus, set up as docs/monitoring.md says, that asks a cluster every so many seconds and looks at the rules
    every second; its files and log are in `folder`."""
    told = cluster.run("scripts/metrics", "--stack", cluster.name, "targets")
    assert told.returncode == 0, told.stderr
    (folder / "targets.json").write_text(told.stdout)
    [block] = [text for kind, text in page("docs/monitoring.md").blocks if kind == "yaml"]
    configuration = yaml.safe_load(block)
    often = f"{seconds}s"
    configuration["global"] = {"scrape_interval": often, "scrape_timeout": often, "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(rules)]
    [job] = configuration["scrape_configs"]
    job["file_sd_configs"] = [{"files": [str(folder / "targets.json")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [program("prometheus"), *options, f"--web.listen-address={address}"], stdout=log, stderr=log
        ) as process,
    ):

        def ask(expression: str) -> list[dict[str, Any]]:
            answer = request(f"http://{address}/api/v1/query?query={urllib.parse.quote(expression)}").json()
            assert answer["status"] == "success", answer
            found: list[dict[str, Any]] = answer["data"]["result"]
            return found

        try:
            wait_for("Prometheus answers", lambda: request(f"http://{address}/-/ready").status == 200, 30)
            yield ask
        finally:
            process.terminate()
