"""Set-up puts packages on the box and leaves nothing else there, whatever ends it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands import PROJECT
from tests.stack.cluster import wait_for

HELD = "Could not get lock /var/lib/apt/lists/lock. It is held by process 870 (unattended-upgr)"

# As apt-get while dpkg unpacks: no signal of a terminal ends it.
APT_GET = """#!/bin/bash
set -eu
folder=$(dirname "$0")
echo "$*" >>"$folder/asked"
if [[ -s $folder/held ]]; then
    cat "$folder/held" >&2
    : >"$folder/held"
    exit 100
fi
[[ " $* " == *" install "* ]] || exit 0
trap '' INT HUP
: >"$folder/unpacks"
while [[ -e $folder/slow ]]; do sleep 0.1; done
[[ ! -e $folder/broken ]] || exit 100
: >"$folder/installed"
"""


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "apt-get").write_text(APT_GET)
    (tmp_path / "sudo").write_text('#!/bin/bash\nexec "$@"\n')
    for name in ("apt-get", "sudo"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


def begin(box: Path, command: str = "stage Packages install_packages a-package") -> subprocess.Popen[str]:
    """The set-up's own functions, in a process group as a terminal has it."""
    text = f"""
        source scripts/toolchain/lib.sh
        source scripts/toolchain/packages.sh
        LOCAL={box}/local POLICY={box}/policy-rc.d
        {command}
    """
    environment = {**os.environ, "PATH": f"{box}:{os.environ['PATH']}"}
    return subprocess.Popen(
        ["bash", "-c", text],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def test_nothing_but_packages_is_left(box: Path) -> None:
    (box / "slow").touch()
    process = begin(box)
    wait_for("it unpacks", (box / "unpacks").exists)
    assert (box / "policy-rc.d").read_text().endswith("\nexit 101\n")
    assert (box / "policy-rc.d").stat().st_mode & 0o777 == 0o755
    (box / "slow").unlink()
    assert end(process)[0] == 0
    assert (box / "installed").exists() and not (box / "policy-rc.d").exists()


def test_a_failure_leaves_nothing_either(box: Path) -> None:
    (box / "broken").touch()
    status, said = end(begin(box))
    assert status == 1 and "Packages failed" in said
    assert not (box / "policy-rc.d").exists()


@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_has_packages_whole_and_nothing_else(box: Path, signal_sent: signal.Signals) -> None:
    (box / "slow").touch()
    process = begin(box)
    wait_for("it unpacks", (box / "unpacks").exists)
    # A terminal's goes to all of them.
    (os.killpg if signal_sent == signal.SIGINT else os.kill)(process.pid, signal_sent)
    # It waits for what must not be half done.
    assert process.stdout is not None
    assert "Packages" in process.stdout.readline() and "interrupted" in process.stdout.readline()
    assert process.poll() is None and not (box / "installed").exists()
    (box / "slow").unlink()
    assert end(process)[0] == 130
    assert (box / "installed").exists() and not (box / "policy-rc.d").exists()


def test_what_a_killed_one_left_is_taken_back(box: Path) -> None:
    (box / "slow").touch()
    process = begin(box)
    wait_for("it unpacks", (box / "unpacks").exists)
    text = (box / "policy-rc.d").read_text()
    # Another set-up at the same time leaves it alone.
    assert end(begin(box, "take_back_policy"))[0] == 0
    assert (box / "policy-rc.d").exists()
    installing = int(text.partition("process ")[2].partition("\n")[0])
    for pid in (process.pid, installing):
        os.kill(pid, signal.SIGKILL)
    (box / "slow").unlink()
    end(process)
    assert (box / "policy-rc.d").exists()
    assert end(begin(box, "take_back_policy"))[0] == 0
    assert not (box / "policy-rc.d").exists()


def test_a_policy_of_the_box_s_own_stays(box: Path) -> None:
    (box / "policy-rc.d").write_text("#!/bin/sh\nexit 104\n")
    assert end(begin(box))[0] == 0
    assert end(begin(box, "take_back_policy"))[0] == 0
    assert (box / "policy-rc.d").read_text() == "#!/bin/sh\nexit 104\n"


def test_another_apt_is_waited_for(box: Path) -> None:
    (box / "held").write_text(f"E: {HELD}\n")
    assert end(begin(box))[0] == 0
    assert f"waits for another apt: {HELD}" in (box / "local/log/Packages.log").read_text()
    (box / "held").write_text(f"E: {HELD}\n")
    status, said = end(begin(box, "APT_SECONDS=0; stage Packages install_packages a-package"))
    assert status == 1 and f"waited 0 s in vain until no other apt is at work: {HELD}" in said


def test_an_interrupted_stage_leaves_nothing_running(box: Path) -> None:
    process = begin(
        box,
        f"compile() {{ sh -c 'echo $$ >{box}/pid; exec sleep 600'; echo more >{box}/more; }}; stage Compiler compile",
    )
    wait_for("it compiles", lambda: (box / "pid").exists() and (box / "pid").read_text().strip())
    os.killpg(process.pid, signal.SIGINT)
    assert end(process)[0] == 130
    assert not Path("/proc", (box / "pid").read_text().strip()).exists() and not (box / "more").exists()
