"""What set-up leaves in a clone that somebody works in."""

import shutil
from pathlib import Path

import pytest

from tests.commands import another_checkout, in_folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Another checkout of this one's files."""
    return another_checkout(tmp_path / "clone")


def test_git_sees_changed_settings_but_not_the_salt(clone: Path) -> None:
    for _ in range(2):
        in_folder(clone, "scripts/toolchain/setup", "dev")
        assert "encryptionsalt" in (clone / "Pulumi.dev.yaml").read_text()
        assert in_folder(clone, "git", "status", "--short") == ""
    activated = "source scripts/activate; pulumi config set phpNodes 3 --stack dev"
    in_folder(clone, "bash", "-c", activated)
    assert in_folder(clone, "git", "status", "--short") == " M Pulumi.dev.yaml\n"
    assert "encryptionsalt" not in in_folder(clone, "git", "diff")
    in_folder(clone, "scripts/toolchain/setup", "dev")
    assert in_folder(clone, "git", "status", "--short") == " M Pulumi.dev.yaml\n"


def test_a_new_passphrase_follows_one_that_was_thrown_away(clone: Path) -> None:
    for _ in range(2):
        in_folder(clone, "scripts/toolchain/setup", "dev")
        assert "encryptionsalt" in (clone / "Pulumi.dev.yaml").read_text()
        shutil.rmtree(clone / ".cluster" / "state")
        (clone / ".cluster" / "passphrase").unlink()


def test_a_state_is_read_after_an_engine_was_killed_beside_it(clone: Path) -> None:
    """While it wrote what kind of file the state is: from then on it said "EOF" of it."""
    in_folder(clone, "scripts/toolchain/setup", "dev")
    [attributes] = (clone / ".cluster/state/.pulumi/stacks/php-cluster").glob("dev.json.attrs")
    attributes.write_bytes(b"")
    in_folder(clone, "scripts/toolchain/setup", "dev")
    assert "deployment" in in_folder(clone, "bash", "-c", "source scripts/activate; pulumi stack export --stack dev")


def test_what_set_up_makes_is_private(clone: Path) -> None:
    in_folder(clone, "scripts/toolchain/setup", "dev")
    modes = {name: (clone / ".cluster" / name).stat().st_mode & 0o777 for name in ("", "state", "passphrase")}
    assert modes == {"": 0o700, "state": 0o700, "passphrase": 0o600}
