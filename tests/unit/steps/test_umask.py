"""What root makes can be entered by the daemons that it is made for, whatever root's own umask is."""

import subprocess
from pathlib import Path

from components.steps.remote import script_text
from tests.commands import PROJECT

STRICT = 0o077


def run(text: str, folder: Path = PROJECT) -> str:
    done = subprocess.run(
        ["bash", "-s"], input=text, cwd=folder, capture_output=True, text=True, check=True, umask=STRICT
    )
    return done.stdout.strip()


def test_the_lab_s_library_has_one_of_its_own() -> None:
    assert run("umask") == "0077"
    assert run(". scripts/lab/lib.sh; umask") == "0022"


def test_a_step_s_folders_can_be_entered(tmp_path: Path) -> None:
    library = (PROJECT / "scripts" / "hosts" / "steps" / "lib.sh").read_text()
    for place in ("/run/php-cluster-steps", "/var/lib/php-cluster"):
        library = library.replace(place, str(tmp_path))
    owner = f"{tmp_path.owner()}:{tmp_path.group()}"
    run(f"STEP=s\n{library}\nput_file {tmp_path}/etc/new/file 0644 text {owner}")
    assert [(tmp_path / part).stat().st_mode & 0o777 for part in ("etc", "etc/new")] == [0o755, 0o755]


def test_what_holds_the_steps_is_made_likewise() -> None:
    before, _, _ = script_text("a-step", "base/install.sh", {}).partition("\nmkdir ")
    assert before.endswith("\nset -euo pipefail\numask 022")


def test_a_machine_of_the_user_s_own_is_claimed_with_folders_for_all(tmp_path: Path) -> None:
    text = (PROJECT / "scripts" / "existing" / "claim.sh").read_text()
    for place in ("/etc/php-cluster", "/usr/lib/php-cluster"):
        text = text.replace(place, f"{tmp_path}{place}")
    run(f"NAME=m OWNER=o STACK=s LEAVE=l\n{text}")
    for place in ("etc", "etc/php-cluster", "usr/lib/php-cluster"):
        assert (tmp_path / place).stat().st_mode & 0o777 == 0o755


def test_what_a_machine_gets_back_is_for_all() -> None:
    text = (PROJECT / "scripts" / "existing" / "leave").read_text()
    # All that it does is called by its last line.
    assert text.endswith("\nmain\n") and run(text.removesuffix("main\n") + "umask") == "0022"
