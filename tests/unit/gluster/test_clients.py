"""When everybody who uses a volume is taken for connected to all of its bricks."""

import os
import subprocess

import pytest

from tests.commands import PROJECT

LIBRARY = PROJECT / "scripts" / "hosts" / "gluster" / "lib.sh"


def brick(name: str, *clients: str) -> str:
    """As `gluster volume status sessions clients` tells of one, by GlusterFS 10.3 and 11.1."""
    said = f"Brick : {name}:/session/brick\nClients connected : {len(clients)}\n"
    if clients:
        said += f"{'Hostname':<50} BytesRead    BytesWritten       OpVersion\n{'--------':<50} ---------\n"
    said += "".join(f"{client:<50} 21672           19684          110000\n" for client in clients)
    return said + "----------------------------------------------\n"


def all_connected(said: str, status: int = 0) -> tuple[int, str]:
    body = 'gluster() { printf "%s" "$SAID"; return "$STATUS"; }\ntimeout() { shift; "$@"; }\nall_connected\n'
    environment = {"PATH": os.environ["PATH"], "VOLUME": "sessions", "SAID": said, "STATUS": str(status)}
    text = LIBRARY.read_text() + body
    done = subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("bricks", "missing"),
    [
        ([brick("lb1", "10.0.0.21:49146", "fd00::22:49140"), brick("lb2", "fd00::22:49141", "10.0.0.21:49002")], ""),
        # Two connections of one machine are no more than one.
        ([brick("lb1", "10.0.0.21:49146", "10.0.0.21:49147"), brick("lb2", "10.0.0.21:49002")], ""),
        ([brick("lb1"), brick("lb2")], ""),
        ([brick("lb1", "10.0.0.21:49146"), brick("lb2")], "10.0.0.21 is not connected to lb2:/session/brick"),
        (
            [brick("lb1", "10.0.0.2:49146"), brick("lb2", "10.0.0.2:49002", "10.0.0.22:49146")],
            "10.0.0.22 is not connected to lb1:/session/brick",
        ),
        # A peer that does not answer is left out.
        ([brick("lb1", "10.0.0.21:49146")], "not every brick is told of"),
    ],
)
def test_who_misses_a_brick_is_named(bricks: list[str], missing: str) -> None:
    assert all_connected("".join(bricks)) == (1 if missing else 0, missing)


def test_while_the_pool_is_busy_nobody_is_taken_for_connected() -> None:
    busy = "Another transaction is in progress for sessions. Please try again after some time.\n"
    assert all_connected(busy, status=1) == (1, busy.strip())
