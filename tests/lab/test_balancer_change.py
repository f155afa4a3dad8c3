"""Before HAProxy asks its nodes at another port: whether they can be asked there at all."""

from pathlib import Path

import pytest

from tests.commands import PROJECT
from tests.lab.conftest import Image

CONFIGURATION = """
    default-server check port 8406 inter 500ms
    server php1 198.18.7.21:80
    server php2 198.18.7.22:80
"""
SCRIPT = """
ip link set lo up
ip address add 198.18.7.21/32 dev lo
fail() { echo "$1"; exit 1; }
. /files/functions
for port in PORTS; do
    python3 -c "import socket, time; s = socket.create_server(('198.18.7.21', $port)); time.sleep(60)" &
    until (exec 3<>"/dev/tcp/198.18.7.21/$port") 2>/dev/null; do sleep 0.1; done
done
(can_check /files/configuration)
status=$?
kill $(jobs -p) 2>/dev/null
exit $status
"""


@pytest.mark.parametrize(
    ("ports", "refused"),
    [
        # All nodes are down, which is no reason to leave a certificate as it is.
        ("", False),
        ("80 8406", False),
        ("80", True),
    ],
)
def test_a_firewall_that_hides_the_checks_is_named(image: Image, tmp_path: Path, ports: str, refused: bool) -> None:
    text = (PROJECT / "scripts/hosts/balancer/haproxy.sh").read_text()
    (tmp_path / "functions").write_text(text[text.index("# accepts") : text.index("if [[ -n $TLS_PEM")])
    (tmp_path / "configuration").write_text(CONFIGURATION)
    done = image.run(SCRIPT.replace("PORTS", ports), tmp_path)
    assert (done.returncode != 0) is refused, done.stdout
    assert ("198.18.7.21 answer at port 80 and not at 8406" in done.stdout) is refused
