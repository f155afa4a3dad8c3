"""Backups in a real repository: what counts as one, and what a program that breaks off leaves."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from components.plan.settings import PROJECT_FOLDER
from components.plan.topology import Role
from components.sessions.log import SOCKET
from scripts.backup_cluster import archive, line_of, ready_node
from scripts.backup_repository import LAST_FILE, BackupError, Repository, from_caller, snapshots_in
from scripts.machines import Machines, RefusalError
from scripts.restore_cluster import unpack


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("RESTIC_PASSWORD", "hidden")
    made = Repository(str(tmp_path / "backups"), "dev")
    made.open(create=True)
    return made


def told(counts: dict[str, int], number: int) -> Iterator[IO[bytes]]:
    """An archive in two parts; what is in it is known at its end."""
    yield archive({"sessions/sess_a": b"%d" % number})
    counts.update(sessions=number, files=2_500_000)
    yield archive({LAST_FILE: b"{}"})


def broken_off() -> Iterator[IO[bytes]]:
    yield archive({"sessions/sess_a": b"x" * 100_000})
    raise BackupError("php1 has not told all")


def test_the_last_ones_stay_and_what_broke_off_is_none(repository: Repository) -> None:
    for number in range(3):
        counts: dict[str, int] = {}
        repository.save(told(counts, number), counts)
    with pytest.raises(BackupError, match="php1 has not told all"):
        repository.save(broken_off(), {})
    # As restic keeps it when the program that feeds it is killed: half of an archive.
    words = [
        "restic",
        "--repo",
        repository.where,
        "backup",
        "--quiet",
        "--stdin",
        "--host",
        "dev",
        "--tag",
        "unfinished-1",
    ]
    subprocess.run(words, input=b"half", check=True)
    assert [snapshot.counts["sessions"] for snapshot in repository.snapshots()] == [0, 1, 2]
    assert repository.find("").counts["sessions"] == 2
    repository.forget(2)
    assert [snapshot.counts["sessions"] for snapshot in repository.snapshots()] == [1, 2]
    listed = ["restic", "--repo", repository.where, "snapshots", "--json"]
    assert len(json.loads(subprocess.run(listed, capture_output=True, check=True).stdout)) == 2
    names = repository.feed(repository.find(""), ["tar", "--list", "--ignore-zeros"]).stdout
    assert names == f"sessions/sess_a\n{LAST_FILE}\n"
    with pytest.raises(RefusalError, match="has no backups of dev nothing"):
        repository.find("nothing")


def test_another_password_makes_no_new_repository(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTIC_PASSWORD", "other")
    with pytest.raises(RefusalError, match="wrong password"):
        Repository(repository.where, "dev").open(create=True)


def test_a_password_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RefusalError, match="RESTIC_PASSWORD_FILE=/root/backup-password"):
        Repository("backups", "dev")


def test_a_place_is_where_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLED_IN", "/somewhere")
    monkeypatch.setenv("RESTIC_PASSWORD", "hidden")
    assert Repository("backups", "dev").where == "/somewhere/backups"
    assert from_caller(Path("/srv/backups")) == Path("/srv/backups")
    assert Repository("sftp://root@host//srv/backups", "dev").where == "sftp://root@host//srv/backups"


def test_a_line_tells_when_and_how_much() -> None:
    said = {
        "short_id": "46d69b0a",
        "time": "2026-11-30T20:24:04.5Z",
        "tags": ["complete", "sessions=7", "files=2500000"],
    }
    [snapshot] = snapshots_in(json.dumps([said, {**said, "tags": ["unfinished-1"]}, {**said, "tags": None}]))
    assert line_of(snapshot) == "46d69b0a  2026-11-30 20:24:04  7 sessions, 2.5 MB of shared files"


def test_nothing_is_unpacked_over_what_is_there(repository: Repository, tmp_path: Path) -> None:
    counts: dict[str, int] = {}
    state, forged = {"cluster/stack.json": b"state"}, {"cluster/stack.json": b"forged", "site/index.php": b"site"}
    repository.save(iter([archive(state), archive(forged), archive({LAST_FILE: b"{}"})]), counts)
    assert unpack(repository, repository.find(""), tmp_path / "new") == 0
    assert (tmp_path / "new/cluster/stack.json").read_text() == "state"
    assert (tmp_path / "new/site/index.php").read_text() == "site"
    with pytest.raises(RefusalError, match="not empty"):
        unpack(repository, repository.find(""), tmp_path / "new")


def test_what_ends_too_early_is_not_unpacked(repository: Repository, tmp_path: Path) -> None:
    repository.save(iter([archive({"cluster/stack.json": b"state", "site/index.php": b""})]), {})
    with pytest.raises(BackupError, match="ends too early"):
        unpack(repository, repository.find(""), tmp_path / "new")


@pytest.mark.parametrize("words", [("ready",), ("export", "sessions"), ("import", "check"), ("import", "sessions")])
@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("unit", "the log of sessions cannot be read now"),
        ("", "the files"),
        ("unit log", "the log"),
    ],
)
def test_whether_sessions_are_a_log_is_not_asked_of_a_volume_that_may_be_denied(
    words: tuple[str, ...], there: str, said: str, tmp_path: Path
) -> None:
    text = (PROJECT_FOLDER / "scripts/backup_host.sh").read_text()
    for path in ("/media/sessions", "/proc/self/mounts"):
        text = text.replace(path, str(tmp_path) + path)
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "proc/self/mounts").write_text(f"x {tmp_path}/media/sessions fuse.glusterfs x\n")
    (tmp_path / "media/sessions").mkdir()
    if "unit" in there:
        (tmp_path / "unit").touch()
    if "log" in there:
        (tmp_path / "media/sessions/log").mkdir()
    # In the place of what both kinds of sessions are read with.
    stubs = 'run_php() { [[ $1 == echo* ]] || fail "the files"; }\nrun_log() { fail "the log"; }\n'
    text = text.replace('\ncase "$1 ', f'\n{stubs}\ncase "$1 ')
    programs = {**os.environ, "EXPORT_PHP": "export", "IMPORT_PHP": "import"}
    programs |= {"SERVICE": SOCKET, "LOG_UNIT": str(tmp_path / "unit")}
    done = subprocess.run(
        ["bash", "-c", text, "bash", *words], capture_output=True, text=True, check=False, env=programs
    )
    if words == ("ready",) and not there:
        assert (done.returncode, done.stdout) == (0, "")
    else:
        assert done.returncode == 1 and done.stdout == "" and said in done.stderr, done.stderr


def test_the_node_that_writes_a_log_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """php2 writes when it is asked for the third time."""
    monkeypatch.setattr("scripts.backup_cluster._WRITER_SECONDS", 1)
    monkeypatch.setattr("scripts.backup_cluster.time.sleep", lambda _: None)

    class Nodes(Machines):
        def command(self, name: str, *words: str) -> list[str]:
            asked = tmp_path / name
            says = {"php1": "echo follows", "php2": f"[[ $(wc -l <{asked}) == 3 ]] || {{ echo none >&2; exit 1; }}"}
            return ["bash", "-c", f"echo >>{asked}; {says[name]}"]

    machines = Nodes("dev", {"machines": {name: {"role": Role.PHP.value} for name in ("php1", "php2")}}, tmp_path, 5)
    assert ready_node(machines) == "php2"
    # Nobody writes any more: who follows can still store.
    assert ready_node(machines) == "php1"
