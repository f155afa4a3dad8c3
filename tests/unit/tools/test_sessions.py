"""What scripts/sessions makes of what session services tell."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.plan.topology import Role
from components.sessions.log import SOCKET, UNIT
from scripts.backup_cluster import archive
from scripts.cluster_sessions import INCOMPLETE, WELL, export, log_lines, show
from scripts.machines import Machines, RefusalError

FOLLOWS: dict[str, Any] = {"writes": False, "linked": True, "stored": 7, "memory": 26_000_000, "trouble": ""}
WRITES: dict[str, Any] = {
    **FOLLOWS,
    **{"writes": True, "since": 0, "sessions": 7, "live": 2_600_000, "known": 8, "bytes": 12_300_000, "segments": 3},
    **{"first": 15, "segment": 17, "turns": 3, "waiting": 1, "full": False},
}


def test_who_writes_tells_of_the_log() -> None:
    lines = list(log_lines({"php1": FOLLOWS, "php2": WRITES}, None))
    assert lines[0] == "sessions: 7 (2.6 MB), 8 IDs known"
    assert lines[1].startswith("log: written by php2 since ") and lines[1].endswith(", 12.3 MB in 3 segments")
    assert lines[2:] == [
        "oldest segment: 15; newest: 17",
        "now: 3 sessions in use, 1 requests wait",
        "php1   passes on  7 sessions, 26 MB of memory",
        "php2   writes     7 sessions, 26 MB of memory",
    ]


def test_a_log_that_nobody_writes_and_full_bricks_are_told() -> None:
    lost = {**FOLLOWS, "linked": False, "trouble": "segment 3 is missing"}
    assert list(log_lines({"php1": lost}, None)) == [
        "! nobody writes the log",
        "php1   reaches no writer (segment 3 is missing) 7 sessions, 26 MB of memory",
    ]
    assert "! the bricks have too little room: new sessions are refused" in log_lines(
        {"php1": {**WRITES, "full": True}}, 1
    )


@pytest.mark.parametrize("wanted", ["", "abc", "sess_0123456789ab", "0123456789ab'"])
def test_what_is_no_hash_is_refused(wanted: str, tmp_path: Any) -> None:
    with pytest.raises(RefusalError, match="is no hash of a session"):
        export(Machines("dev", {}, tmp_path, 5), wanted)


@pytest.mark.parametrize("told", [b"", archive({"sessions/sess_a": b"x" * 5000}).read()[:2000], b"x" * 500_000])
def test_what_keeps_a_node_from_telling_a_session_is_said(
    told: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "told").write_bytes(told)
    fails = f"[[ $1 != ready ]] || exit 0; cat {tmp_path}/told; echo 'php1: it has no room' >&2; exit 1"

    class Failing(Machines):
        def command(self, name: str, *words: str) -> list[str]:
            return ["bash", "-c", fails, "bash", *words[4:]]

    machines = Failing("dev", {"machines": {"php1": {"role": Role.PHP.value}}}, tmp_path, 5)
    assert export(machines, "0123456789ab") == INCOMPLETE
    assert capsys.readouterr().err == "php1 has not told all of its sessions: php1: it has no room\n"


class Nodes(Machines):
    """Two PHP nodes and a balancer, whose programs run here; a service that is not up is down."""

    def __init__(self, folder: Path, *, has_log: bool, up: Mapping[str, Mapping[str, Any]]) -> None:
        roles = {"lb1": Role.LOAD_BALANCER, "php1": Role.PHP, "php2": Role.PHP}
        super().__init__("dev", {"machines": {name: {"role": role.value} for name, role in roles.items()}}, folder, 5)
        self._unit, self._up = folder / "unit", up
        if has_log:
            self._unit.touch()

    def run(self, name: str, *words: str, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        if name in self._up:
            return subprocess.CompletedProcess(words, 0, json.dumps(self._up[name]), "")
        if words[0] != "bash":
            return subprocess.CompletedProcess(words, 1, "", "no segment")
        if name == "lb1":
            return subprocess.CompletedProcess(words, 0, "0 0 0 0", "")
        text = stdin.replace(UNIT, str(self._unit)).replace(SOCKET, str(self._unit.with_name("socket")))
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=seconds)


def test_services_that_are_down_make_a_log_no_store_of_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(Nodes(tmp_path, has_log=False, up={})) == WELL
    assert capsys.readouterr().out.startswith("sessions: 0, a file each")
    assert show(Nodes(tmp_path, has_log=True, up={})) == INCOMPLETE
    down = [f"{name}: its session service is down" for name in ("php1", "php2")]
    told = capsys.readouterr()
    assert (told.out, told.err.splitlines()) == ("", down)
    assert show(Nodes(tmp_path, has_log=True, up={"php1": {**FOLLOWS, "linked": False}})) == INCOMPLETE
    told = capsys.readouterr()
    assert told.out.startswith("! nobody writes the log") and told.err.splitlines() == down[1:]
