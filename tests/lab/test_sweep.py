"""Which labs `make clean` may remove; in namespaces, unseen by this box."""

import shutil
from pathlib import Path

from tests.commands import PROJECT, said

SETUP = """
set -euo pipefail
mount -t tmpfs none /var/lib
mount -t sysfs none /sys
ip link set lo up
trap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT
labs=/var/lib/php-cluster/labs
# lab LAB STACK IDENTITY FOLDER: one with a machine that is off.
lab() {
    mkdir -p "$labs/$1/machines/php1"
    printf '%s\\n' "STACK=$2" "CHECKOUT=$3" "CHECKOUT_FOLDER=$4" "NETWORK=198.18.9.0/24" >"$labs/$1/record"
}
# start LAB: what the lab takes for a machine that runs.
start() {
    bash -c 'exec -a "nspawn --machine=$0" unshare --pid --fork --kill-child sleep infinity' "$1-php1" &
    echo $! >"$labs/$1/machines/php1/nspawn.pid"
    until scripts/lab/list | grep -q running; do sleep 0.1; done
}
left() { ls "$labs"; }
"""


def checkout(folder: Path, identity: str) -> Path:
    """The lab's scripts as another checkout has them."""
    shutil.copytree(PROJECT / "scripts" / "lab", folder / "scripts" / "lab")
    (folder / ".cluster").mkdir()
    (folder / ".cluster" / "identity").write_text(f"{identity}\n")
    return folder


def in_namespaces(folder: Path, script: str) -> str:
    return said("unshare", "--net", "--mount", "bash", "-c", SETUP + script, folder=folder)


def test_a_checkout_that_was_moved_knows_its_labs(tmp_path: Path) -> None:
    here = checkout(tmp_path / "moved here", "ours")
    output = in_namespaces(
        here, "lab abc123 dev ours /was/there; scripts/lab/sweep --abandoned; scripts/lab/sweep --list; left"
    )
    assert output.splitlines() == [f"abc123 stack dev of {here}", "abc123"]
    # Others learn of it when its cluster is looked at next.
    output = in_namespaces(
        here, "lab abc123 dev ours /was/there; LAB=abc123 scripts/lab/states php1; cat $labs/*/record"
    )
    assert output.splitlines() == [
        "php1 off",
        "STACK=dev",
        "CHECKOUT=ours",
        "NETWORK=198.18.9.0/24",
        f"CHECKOUT_FOLDER={here}",
    ]


def test_what_runs_is_nobody_s_to_clean_away(tmp_path: Path) -> None:
    here = checkout(tmp_path / "here", "ours")
    output = in_namespaces(here, "lab abc123 dev theirs /was/there; start abc123; scripts/lab/sweep --abandoned; left")
    said, lab = output.splitlines()
    assert lab == "abc123" and said.startswith("the lab abc123 of /was/there runs and stays")
    assert said.endswith("scripts/lab/sweep --lab abc123")


def test_what_is_off_and_has_no_checkout_goes(tmp_path: Path) -> None:
    here, other = (checkout(tmp_path / name, name) for name in ("here", "other"))
    output = in_namespaces(
        here,
        f"lab abc123 dev gone /was/there; lab abc124 dev other {other}\n"
        f"lab abc125 dev before {other}; lab abc126 dev here {here}\n"
        "scripts/lab/sweep --abandoned >/dev/null; left",
    )
    assert output.splitlines() == ["abc124", "abc126"]
    output = in_namespaces(here, f"lab abc124 dev other {other}; scripts/lab/sweep --lab abc124 >/dev/null; left")
    assert output == ""
