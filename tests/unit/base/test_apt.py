"""Packages on a machine where another apt is at work, as Debian's own updates are after a boot."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from components.steps.host_scripts import HOST_SCRIPTS, libraries

HELD = "Could not get lock /var/lib/apt/lists/lock. It is held by process 870 (unattended-upgr)"

# apt-get as Debian 12 has it (2.6.1): the lists' lock knows no limit, and the holder is named only without one.
APT_GET = f"""#!/bin/bash
echo "$*" >>"$0.asked"
[[ " $* " == *" -o DPkg::Lock::Timeout=0 "* ]] || exit 99
left=$(<"$0.held")
if ((left > 0)); then
    echo $((left - 1)) >"$0.held"
    printf '%s\\n' "E: {HELD}" "E: Unable to lock directory /var/lib/apt/lists/" >&2
    exit 100
fi
[[ " $* " != *" unknown "* ]] || {{ echo "E: Unable to locate package unknown" >&2; exit 100; }}
echo "Reading package lists"
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "apt-get").write_text(APT_GET)
    (tmp_path / "apt-get").chmod(0o755)
    return tmp_path


def step(programs: Path, body: str, held: int) -> subprocess.CompletedProcess[str]:
    """A step on a machine whose lists are held for so many looks."""
    (programs / "apt-get.held").write_text(f"{held}\n")
    library = "".join((HOST_SCRIPTS / file).read_text() for file in libraries("base/install.sh"))
    for place in ("/run/php-cluster", "/var/lib/php-cluster"):
        library = library.replace(place, f"{programs}{place}")
    # No time is lost between two looks of this test.
    text = f"sleep() {{ :; }}\n{library}{body}\n"
    environment = {"STEP": "a-step", "PATH": f"{programs}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def test_it_waits_and_names_the_holder_once(programs: Path) -> None:
    done = step(programs, "apt_get update; echo went on", held=3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"waits for another apt: {HELD}", "went on"]
    assert len((programs / "apt-get.asked").read_text().splitlines()) == 4


def test_in_the_end_it_names_the_holder_and_no_mirror(programs: Path) -> None:
    done = step(programs, "APT_SECONDS=0\napt_get update || fail 'the mirror'", held=9)
    assert done.returncode == 1 and "mirror" not in done.stderr
    assert done.stderr.endswith(f"waited 0 s in vain until no other apt is at work: {HELD}\n")


def test_another_failure_is_one_at_once(programs: Path) -> None:
    done = step(programs, "apt_get install unknown || fail 'it is not there'", held=0)
    assert done.returncode == 1 and "waits" not in done.stdout
    assert "Unable to locate package" in done.stderr and done.stderr.endswith("it is not there\n")
    assert len((programs / "apt-get.asked").read_text().splitlines()) == 1


@pytest.mark.parametrize("script", ["base/install.sh", "base/router.sh"])
def test_every_step_asks_apt_that_way(script: str) -> None:
    text = (HOST_SCRIPTS / script).read_text()
    commands = re.findall(r"^ *(apt[-_]get) (\w+)", text, re.MULTILINE)
    assert sorted(set(commands)) == [("apt_get", "install"), ("apt_get", "update")]
