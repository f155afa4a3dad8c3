"""The program in the real engine before anything is made: what a preview needs, and what wrong settings get."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.substrates.ssh_keys import SEED_BYTES, public_key
from tests.commands import PROJECT, another_checkout, said
from tests.stack.cluster import Cluster

# No right of root's, no network but the process's own loopback, and a PATH without the lab's tools.
BARE = (
    "ip link set lo up && "
    "exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "
    "env PATH={path} pulumi preview --non-interactive --color never --stack {stack}"
)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "state", {})
    yield made
    made.pulumi("stack", "rm", "--yes", made.name)


def test_a_new_stack_is_previewed_in_no_time_with_no_rights(stack: Cluster) -> None:
    path = f"{PROJECT}/.venv/bin:{PROJECT}/.cluster/bin:/usr/bin:/bin"
    command = BARE.format(path=path, stack=stack.name)
    isolated = ["unshare", "--net"] if subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0 else []
    times = []
    for _ in range(3):
        begin = time.monotonic()
        done = stack.run(*isolated, "sh", "-c", command if isolated else command.removeprefix("ip link set lo up && "))
        times.append(time.monotonic() - begin)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "volume-create" in done.stdout and "php2-mount" in done.stdout
        assert "warning" not in done.stdout, done.stdout
    # The promise is 5 s for a person who waits, and 3 s were measured. A box that has other work takes 8: this is no
    # measurement, it sees a preview that waits for something it cannot reach.
    assert min(times) < 30, times


def test_wrong_settings_are_refused_together_before_anything_is_made(stack: Cluster) -> None:
    for key, value in {
        "phpNodes": "65",
        "profile": "saef",
        "floatingIp": "198.18.300.1",
        "appDir": "no-such-folder",
        "phpNode": "3",
    }.items():
        stack.pulumi("config", "set", key, value, "--stack", stack.name)
    for verb in ("preview", "up"):
        arguments = ["--yes", "--skip-preview"] if verb == "up" else []
        done = stack.pulumi(verb, *arguments, "--stack", stack.name, check=False)
        said = done.stdout + done.stderr
        assert done.returncode != 0
        for expected in (
            "php-cluster:phpNodes",
            "php-cluster:profile",
            "php-cluster:floatingIp",
            "php-cluster:appDir",
            "php-cluster:phpNode is no key",
            "Did you mean phpNodes?",
            "pulumi config set",
        ):
            assert expected in said, said
        assert "Traceback" not in said
    resources = stack.export()["deployment"].get("resources", [])
    assert [one["urn"] for one in resources if one["type"] != "pulumi:pulumi:Stack"] == []


def test_another_name_of_the_project_is_refused_by_name(tmp_path: Path) -> None:
    """`pulumi new` asks for one, and makes it the beginning of every config key."""
    another_checkout(tmp_path / "clone")
    said("git", "clone", "--quiet", "clone", "template", folder=tmp_path)
    folder = tmp_path / "shop"
    folder.mkdir()
    said(
        "pulumi", "new", "../template", "--name", "shop", "--generate-only", "--yes", "--non-interactive", folder=folder
    )
    shop = Cluster(tmp_path / "state", {"phpNodes": "3"}, checkout=folder)
    done = shop.pulumi("preview", "--stack", shop.name, check=False)
    refusal = done.stdout + done.stderr
    assert done.returncode != 0
    assert "name in Pulumi.yaml is shop" in refusal and "Example: name: php-cluster" in refusal
    assert "Traceback" not in refusal


def test_a_substrate_is_added_by_a_folder_and_a_line_of_the_registry(tmp_path: Path) -> None:
    clone = another_checkout(tmp_path / "clone")
    substrates = clone / "components" / "substrates"
    shutil.copytree(PROJECT / "tests" / "unit" / "substrates" / "incus", substrates / "incus")
    registry = (substrates / "registry.py").read_text()
    import_, line = "from components.substrates.existing import Existing\n", '    "existing": Existing,\n'
    assert import_ in registry and line in registry
    for old in (import_, line):
        new = old.replace("existing", "incus").replace("Existing", "Incus")
        registry = registry.replace(old, old + new)
    (substrates / "registry.py").write_text(registry)
    settings = {"substrate": "incus", "network": "198.18.5.0/24", "incus.pool": "fast"}
    cluster = Cluster(tmp_path / "state", settings, checkout=clone)
    planned = cluster.pulumi("preview", "--stack", cluster.name).stdout
    assert "IncusSubstrate" in planned and "php2-machine" in planned and "volume-create" in planned


def test_what_a_substrate_finds_wrong_is_told_like_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    settings = {"substrate": "existing", "network": "192.0.2.0/24", "floatingIp": "192.0.2.10"}
    settings |= {"existing.brick": "/dev/vdb", "existing.privateKeyFile": str(tmp_path / "key")}
    for number, place in enumerate(("balancers[0]", "balancers[1]", "nodes[0]"), start=11):
        settings[f"existing.{place}.address"] = f"192.0.2.{number}"
        settings[f"existing.{place}.hostKey"] = public_key(bytes([number]) * SEED_BYTES)
    cluster = Cluster(tmp_path / "state", settings)
    done = cluster.pulumi("preview", "--stack", cluster.name, check=False)
    refusal = done.stdout + done.stderr
    cluster.pulumi("stack", "rm", "--yes", cluster.name)
    assert done.returncode != 0
    assert "error: php-cluster:existing.privateKeyFile must be an SSH private key without a passphrase" in refusal
    assert "Traceback" not in refusal
