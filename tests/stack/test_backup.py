"""A cluster that serves is saved, loses both balancers with their disks, and has sessions and shared files again."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import secrets
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from scripts.machines import REFUSED
from tests.stack.cluster import Cluster, Visitor, standing, wait_for
from tests.stack.health import goes_on, used_session, whole_again
from tests.stack.test_shared_files import site

QUIET = 150
LIFETIME = 1440
EXPIRES_SECONDS = 60
FILES = """
cd /media/files/shared/uploads
mkdir -p 'a folder/empty' && printf secret >'a folder/pr"ivate'$'\\n''file' && chmod 640 'a folder/pr'*
ln -s 'a folder' link && head -c 3000000 /dev/urandom >large && chmod 751 large
chown -R www-data: . && chown daemon: large
printf "<?php return ['release' => 'by hand'];" >../config/local.php"""
SEEN = r"""
cd /media/files/shared
find . \( -type d -printf '%p %u:%g %m\n' \) -o -printf '%p %u:%g %m %T@ %l\n' | sort
find . -type f -exec sha256sum {} + | sort"""


@pytest.fixture(scope="module")
def saving(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of its own, whose site shares files."""
    folder = tmp_path_factory.mktemp("saving")
    site(folder, "first")
    settings = {
        "phpNodes": "2",
        "appDir": str(folder / "app"),
        "sharedDirs[0]": "uploads",
        "sharedFiles[0]": "config/local.php",
    }
    stack = Cluster(folder, settings, variables={"RESTIC_PASSWORD": secrets.token_hex(8)})
    with standing(stack, request.session):
        yield stack


def sessions(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """All of them, as docs/sessions.md has them: ID to data and time. A brick's own file may be a moment younger."""
    packed = cluster.ssh("php2", "cd /media/sessions && tar --create -- sess_* | base64 --wrap=0")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file
            text = file.read()
            if not text or text[:8] == b"PCSREC03":
                continue
            length, start = int.from_bytes(text[8:16]), 56 if text[:8] == b"PCSREC01" else int.from_bytes(text[56:64])
            data = text[start : start + length]
            assert hashlib.sha256(text[8:24] + data).digest() == text[24:56]
            found[entry.name.removeprefix("sess_")] = data.decode(), int(entry.mtime)
    return found


def id_of(visitor: Visitor) -> str:
    return visitor.cookie.partition("=")[2]


def stored_count(data: str) -> int:
    [count] = re.findall(r"counter\|i:(\d+);", data)
    return int(count)


@contextmanager
def busy(cluster: Cluster) -> Iterator[list[Visitor]]:
    """Four visitors who never pause."""
    visitors = [used_session(cluster) for _ in range(4)]
    enough = threading.Event()

    def visit(visitor: Visitor) -> None:
        while not enough.is_set():
            with suppress(OSError):
                visitor.visit()

    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        yield visitors
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def backup(cluster: Cluster, *words: str) -> str:
    done = cluster.run("scripts/backup", "--stack", cluster.name, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def restore(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    return cluster.run("scripts/restore", "--stack", cluster.name, *words)


def test_both_balancers_are_lost_with_their_disks(saving: Cluster, tmp_path: Path) -> None:
    repository = str(tmp_path / "backups")
    url = saving.outputs()["url"]
    quiet = [Visitor(url) for _ in range(QUIET)]
    for visitor in quiet:
        visitor.visit()
    [dying, large] = [used_session(saving) for _ in range(2)]
    big = f'counter|i:5;big|s:300000:"{"x" * 300_000}";'
    # As PHP's own handler would leave it: the store takes it over.
    saving.ssh("php1", f"cat >/media/sessions/sess_{id_of(large)}", big)
    large.visit()
    saving.ssh("php1", FILES)
    files = saving.ssh("php2", SEEN)
    expires = time.time() + EXPIRES_SECONDS
    saving.ssh("php1", f"touch --date=@{expires - LIFETIME} /media/sessions/sess_{id_of(dying)}")

    with busy(saving) as visitors:
        before = [visitor.count for visitor in visitors]
        first = backup(saving, repository)
        after = [visitor.count + 1 for visitor in visitors]
        assert all(one < other for one, other in zip(before, after, strict=True)), "nobody visited meanwhile"
    known = {id_of(visitor) for visitor in quiet} | {id_of(large)}
    saved = {name: found for name, found in sessions(saving).items() if name in known}
    assert len(saved) == QUIET + 1

    # A backup whose program is killed: what it has told restic until then must not count as one.
    with saving.running("scripts/backup", "--stack", saving.name, repository) as process:
        wait_for("it saves", lambda: "--stdin" in _restic_of(process.pid))
        process.kill()
    wait_for("restic has ended", lambda: not _restic_of(process.pid, repository))
    assert backup(saving, "list", repository) == first

    for balancer in ("lb1", "lb2"):
        saving.lab_command("lose", balancer)
    saving.up()
    assert not known & set(sessions(saving))
    wait_for("that one has expired", lambda: time.time() > expires + 1)

    # A restore whose program is killed is run again.
    with saving.running("scripts/restore", "--stack", saving.name, repository) as process:
        wait_for("it restores", lambda: known & set(sessions(saving)), pause=0.1)
        process.kill()
    done = restore(saving, repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r" [1-9]\d* were there, 0 are newer here, 1 have expired$", done.stdout.strip()), done.stdout

    there = sessions(saving)
    assert {name: there.get(name) for name in known} == saved
    for visitor, least, most in zip(visitors, before, after, strict=True):
        assert least <= stored_count(there[id_of(visitor)][0]) <= most
    assert id_of(dying) not in there
    assert saving.ssh("php2", SEEN) == files
    whole_again(saving)
    saving.pulumi("preview", "--expect-no-changes", "--stack", saving.name)
    refuses_what_is_newer(saving, repository, [*quiet, large])
    assert len(saving.ssh("php1", "ls -A /media/sessions | grep -v ^sess_; ls -A /media/files").split()) == 2


def refuses_what_is_newer(saving: Cluster, repository: str, known: list[Visitor]) -> None:
    saving.ssh("php2", "echo other >/media/files/shared/uploads/large")
    done = restore(saving, repository)
    assert (done.returncode, "1 files are newer here than in the backup: uploads/large" in done.stderr) == (
        REFUSED,
        True,
    )
    visitor = known[0]
    goes_on(visitor)
    assert visitor.count == 2
    done = restore(saving, repository)
    name = hashlib.sha256(id_of(visitor).encode()).hexdigest()[:12]
    assert done.returncode == REFUSED and f": 1 of the sessions ({name}, as the access log " in done.stderr, done.stderr
    goes_on(visitor)
    done = restore(saving, repository, "--keep-newer")
    assert done.returncode == 0 and " 1 are newer here," in done.stdout, done.stdout + done.stderr
    assert saving.ssh("php1", "cat /media/files/shared/uploads/large") == "other\n"
    for each in known:
        goes_on(each)
    assert visitor.count == 4


def _restic_of(program: int, repository: str = "") -> str:
    """The command lines of restic that a program has started; with a repository, of whoever uses that."""
    lines = subprocess.run(["ps", "-ww", "-e", "-o", "ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(maxsplit=1) for line in lines.splitlines()]
    return "\n".join(
        args
        for parent, args in found
        if args.startswith("restic ") and (repository in args if repository else int(parent) == program)
    )


def test_what_a_new_box_needs_is_unpacked(saving: Cluster, tmp_path: Path) -> None:
    repository = str(tmp_path / "backups")
    for _ in range(3):
        backup(saving, repository, "--keep", "2")
    assert len(backup(saving, "list", repository).splitlines()) == 2
    done = restore(saving, repository, "--unpack", str(tmp_path / "unpacked"))
    assert done.returncode == 0, done.stderr
    app, cluster = tmp_path / "unpacked" / "site", tmp_path / "unpacked" / "cluster"
    assert (app / "uploads/deep/er/shipped.txt").read_text() == "first" and not (app / "uploads").is_symlink()
    saving.configure({"appDir": str(app)})
    saving.pulumi("preview", "--expect-no-changes", "--stack", saving.name)
    # The state tells of the same machines, and needs the passphrase to tell its secrets.
    copy = Cluster(tmp_path / "state", {}, name=f"{saving.name}-copy")
    copy.pulumi("stack", "import", "--force", "--stack", copy.name, "--file", str(cluster / "stack.json"))
    assert copy.outputs() == saving.outputs()
    copy.pulumi("stack", "rm", "--yes", "--force", copy.name)
    assert (cluster / f"Pulumi.{saving.name}.yaml").read_text().startswith("config:") or "encryptionsalt" in (
        cluster / f"Pulumi.{saving.name}.yaml"
    ).read_text()


def test_a_backup_goes_over_sftp(saving: Cluster, tmp_path: Path) -> None:
    outputs = saving.outputs()
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text(outputs["sshPrivateKey"])
    (tmp_path / "known_hosts").write_text(outputs["knownHosts"])
    # As an operator's ~/.ssh/config would say it to the client that restic starts.
    options = f"-i {tmp_path}/key -o UserKnownHostsFile={tmp_path}/known_hosts"
    (tmp_path / "ssh").write_text(
        f'#!/bin/bash\n[[ " $*" != *" -s"* ]] || set -- {options} "$@"\nexec /usr/bin/ssh "$@"\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    login = outputs["machines"]["php2"]["login"]
    where = f"sftp://{login['user']}@{login['host']}//root/backups"
    words = ("--stack", saving.name)
    path = ["env", f"PATH={tmp_path}:/usr/bin:/bin"]
    began = int(time.time())
    for command in (("scripts/backup", *words, where), ("scripts/restore", *words, where)):
        done = saving.run(*path, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "config\n" in saving.ssh("php2", "ls /root/backups")
    assert json.loads(saving.status("--json", "--seconds", "30").stdout)["last_backup"] >= began
    saving.ssh("php2", "rm -r /root/backups")


def test_what_cannot_be_is_refused(saving: Cluster, tmp_path: Path) -> None:
    repository = str(tmp_path / "backups")
    for words, why in {
        ("scripts/restore", repository): "no such file or directory",
        ("scripts/backup", "list", repository): "no such file or directory",
        ("scripts/backup", repository, "--keep", "0"): "--keep is 0, and must be 1 or more backups",
    }.items():
        done = saving.run(words[0], "--stack", saving.name, *words[1:])
        assert done.returncode == REFUSED and why in done.stderr, done.stderr
    done = saving.run("env", "--unset=RESTIC_PASSWORD", "scripts/backup", "--stack", saving.name, repository)
    assert done.returncode == REFUSED and "RESTIC_PASSWORD_FILE" in done.stderr
    backup(saving, repository)
    done = saving.run("env", "RESTIC_PASSWORD=other", "scripts/backup", "--stack", saving.name, repository)
    assert done.returncode == REFUSED and "wrong password" in done.stderr


def test_one_session_is_exported_and_all_are_counted(saving: Cluster) -> None:
    visitor = used_session(saving)
    words = ("scripts/sessions", "--stack", saving.name)
    said = saving.run(*words).stdout
    assert re.match(r"sessions: [1-9]\d*, a file each \(\d", said) and "\nlast stored between 2" in said, said
    name = hashlib.sha256(id_of(visitor).encode()).hexdigest()[:12]
    assert "counter|i:5;" in saving.run(*words, "export", name).stdout
