"""`make preview` as CI calls it: in a new clone, with a state of the user's own or none, and with a report."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from tests.commands import another_checkout
from tests.plugins.ssh_server import free_port
from tests.stack.cluster import wait_for


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of a bucket of moto's S3, as a backend."""
    port = free_port()
    server = subprocess.Popen([Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)])
    endpoint = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS)
    try:
        wait_for("S3 answers", lambda: socket.create_connection(("127.0.0.1", port), timeout=1)).close()
        client.create_bucket(Bucket="states")
        yield f"s3://states?endpoint={endpoint}&s3ForcePathStyle=true&region=us-east-1"
    finally:
        server.terminate()
        server.wait()


KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def make(checkout: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "GIT_", "AWS_"))
    }
    return subprocess.run(
        ["make", *words],
        cwd=checkout,
        env={**environment, "AWS_EC2_METADATA_DISABLED": "true", **more},
        capture_output=True,
        text=True,
        check=False,
    )


def report(checkout: Path, stack: str, **more: str) -> str:
    done = make(checkout, "preview", f"STACK={stack}", f"REPORT=reports/{stack}.md", **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return (checkout / "reports" / f"{stack}.md").read_text()


def test_a_new_clone_previews_both_stacks_and_says_so_on_the_runs_page(tmp_path: Path) -> None:
    clone, page = another_checkout(tmp_path / "clone"), tmp_path / "page"
    # As CI has it when the repository has no secret: set and empty.
    settings = {"PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_BACKEND_URL": "", "GITHUB_STEP_SUMMARY": str(page)}
    reports = [report(clone, stack, **settings) for stack in ("dev", "aws")]
    assert [text.splitlines()[0].partition(": ")[0] for text in reports] == ["### `dev`", "### `aws`"]
    assert all(text.splitlines()[0].endswith(" to create") for text in reports)
    assert "PhpCluster: (create)" in reports[0] and "aws:AwsSubstrate: (create)" in reports[1]
    assert page.read_text() == "".join(reports)


def test_what_is_wrong_is_in_the_report(tmp_path: Path) -> None:
    clone = another_checkout(tmp_path / "clone")
    settings = clone / "Pulumi.dev.yaml"
    settings.write_text(settings.read_text().replace('"2"', '"65"'))
    done = make(clone, "preview", "REPORT=dev.md")
    assert done.returncode != 0
    said = (clone / "dev.md").read_text()
    assert "### `dev`: the preview failed" in said and "php-cluster:phpNodes" in said


def test_the_state_may_lie_in_s3(tmp_path: Path, bucket: str) -> None:
    keys: Mapping[str, str] = {name.upper(): value for name, value in KEYS.items()}
    backend = {**keys, "PULUMI_BACKEND_URL": bucket}
    for number in range(2):
        clone = another_checkout(tmp_path / f"clone{number}")
        assert "`dev`" in report(clone, "dev", PULUMI_CONFIG_PASSPHRASE="right", **backend)
        assert not (clone / ".cluster" / "state" / ".pulumi" / "stacks").exists()
    done = make(clone, "preview", "REPORT=dev.md", PULUMI_CONFIG_PASSPHRASE="wrong", **backend)
    assert done.returncode != 0 and "incorrect passphrase" in (clone / "dev.md").read_text()
