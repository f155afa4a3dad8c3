"""One way to log in: the pinned host key, the stack's key, nothing of the user's own."""

import subprocess
import sys
from pathlib import Path

from components.steps.pinned_ssh import ssh_command
from scripts.benchmark.floor import ssh_options
from tests.commands import PROJECT

HOSTS = "192.0.2.21 ssh-ed25519 AAAA\n192.0.2.1 ssh-ed25519 BBBB"
WANTED = {
    "stricthostkeychecking": "true",
    "identitiesonly": "yes",
    "batchmode": "yes",
    "connecttimeout": "10",
    "loglevel": "ERROR",
}


def settings(words: list[str]) -> dict[str, str]:
    """What OpenSSH itself makes of the words."""
    command = [words[0], "-G", *words[1:], "ops@192.0.2.21"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def test_scripts_get_the_same_words(tmp_path: Path) -> None:
    command = [sys.executable, "components/steps/pinned_ssh.py", str(tmp_path), HOSTS, "10", "ops@192.0.2.1"]
    said = subprocess.run(command, cwd=PROJECT, input="key\n", capture_output=True, text=True, check=True).stdout
    assert said.split("\0")[:-1] == ssh_command(tmp_path, "key\n", HOSTS, 10, "ops@192.0.2.1")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "known_hosts").read_text() == f"{HOSTS}\n"


def test_every_client_is_told_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "with blanks"
    found = settings(ssh_command(folder, "key\n", HOSTS, 10))
    floor = settings(["ssh", *ssh_options(folder)])
    for one in (found, floor):
        assert {name: one[name] for name in WANTED} == WANTED
        assert one["userknownhostsfile"].strip('"') == str(folder / "known_hosts")
        assert one["kexalgorithms"].startswith("curve25519-sha256")


def test_nobody_spells_it_out_again() -> None:
    listed = subprocess.run(
        ["git", "grep", "--files-with-matches", "StrictHostKeyChecking", "--", "components", "scripts"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listed.split() == ["components/steps/pinned_ssh.py"]
