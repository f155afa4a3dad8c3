"""What scripts/sessions makes of what session services tell."""

from typing import Any

import pytest

from scripts.cluster_sessions import export, log_lines
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
