"""The arbiter's port is kept from outgoing connections, beside the ports that others keep."""

import os
import subprocess
from pathlib import Path

import pytest

from components.plan.traffic import ARBITER_PORT
from components.steps.host_scripts import HOST_SCRIPTS, libraries


def step(machine: Path, script: str, **variables: str) -> str:
    """The part of a script that has to do with the port, with files in place of the kernel's."""
    text = "".join((HOST_SCRIPTS / file).read_text() for file in (*libraries(script), script))
    for place in ("/etc/", "/run/php-cluster", "/var/lib/php-cluster", "/proc/sys/net/ipv4/"):
        text = text.replace(place, f"{machine}{place}")
    text = text.replace("root:root", f"{machine.owner()}:{machine.group()}")
    if script == "gluster/arbiter.sh":
        begin, end = text.rindex("arbiter_notes"), text.rindex('report "')
        text = text[:begin] + text[end:]
    environment = {"STEP": "a", "PATH": os.environ["PATH"], "PORT": str(ARBITER_PORT), **variables}
    environment |= {"VOLUME_ID": "01234567-89ab-cdef-0123-456789abcdef", "FOLDER": f"{machine}/arbiter"}
    done = subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("", "49200", ""),
        ("8080,9000-9010", "8080,9000-9010,49200", "8080,9000-9010"),
        # Somebody else has it in a range of his own, which stays his.
        ("49000-49300", "49000-49300", "49000-49300"),
        ("49201", "49201,49200", "49201"),
    ],
)
def test_it_is_reserved_beside_others_and_given_back(tmp_path: Path, before: str, after: str, left: str) -> None:
    kernel = tmp_path / "proc/sys/net/ipv4/ip_local_reserved_ports"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(f"{before}\n")
    at_boot = tmp_path / "etc/sysctl.d/60-php-cluster-arbiter.conf"
    assert "reserves port 49200" in step(tmp_path, "gluster/arbiter.sh")
    assert kernel.read_text() == f"{after}\n"
    assert at_boot.read_text() == f"net.ipv4.ip_local_reserved_ports = {after}\n"
    assert step(tmp_path, "gluster/arbiter.sh") == "the arbiter runs (nothing to change)\n"
    # A boot that somebody else's file had the last word in is seen.
    kernel.write_text("1\n")
    assert step(tmp_path, "gluster/arbiter.sh", CHECK="yes") == "reserves port 49200 for the arbiter\n"
    kernel.write_text(f"{after}\n")
    assert "gives port 49200 back" in step(tmp_path, "gluster/arbiter-leave.sh")
    assert kernel.read_text() == f"{left}\n" and not at_boot.exists()
    assert step(tmp_path, "gluster/arbiter-leave.sh") == "no arbiter runs here (nothing to change)\n"
