"""A cluster that serves gets the other profile, the other session store, and the first ones again. Nothing is lost."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.machines import REFUSED
from tests.commands import said
from tests.stack.cluster import Cluster, Visitor, nothing_is_left, wait_for
from tests.stack.health import outdated_for_arbiter, pending_heals
from tests.stack.test_interrupted import steps

STANDING = 20
AT_WORK = 4

QUICK_READ = "/media/sessions/.meta/graphs/active/sessions-quick-read"
"""What a mount's client says of what it keeps of small files."""

CHANGE_OPTIONS = """\
# An update that was stopped may still change the volume, which takes one change at a time.
change() { for _ in {1..100}; do gluster --mode=script volume "$@" &>/dev/null && return; sleep 0.2; done; return 1; }
for number in {1..8}; do
    for value in on off; do
        change set sessions performance.read-ahead $value || exit
        sleep 0.5
    done
done
change reset sessions performance.read-ahead"""
"""An option for which each mount makes anew whatever is between itself and the bricks, requests under way or not."""


@dataclass
class Work:
    """What visitors saw who never pause.

    Attributes:
        problems: What was not the next number, when, and where the numbers before it came from.
        longest: Seconds that one of them had to wait for an answer, at most.
        answers: How many there were.
    """

    problems: list[str] = field(default_factory=list)
    longest: float = 0
    answers: int = 0


@contextmanager
def at_work(cluster: Cluster) -> Iterator[Work]:
    """Visitors who count in sessions of their own, each answer checked."""
    work, lock, enough = Work(), threading.Lock(), threading.Event()
    url = cluster.outputs()["url"]

    def visit() -> None:
        visitor = Visitor(url)
        while not enough.is_set():
            expected = len(visitor.seen) + 1
            began = time.monotonic()
            try:
                counter = visitor.visit()["counter"]
                problem = f"{counter} instead of {expected}" if counter != expected else ""
            except (OSError, AssertionError) as failure:
                problem = str(failure)
            with lock:
                work.answers += 1
                work.longest = max(work.longest, time.monotonic() - began)
                if problem:
                    last = ", ".join(f"{seen['counter']} of {seen['node']}" for seen in visitor.seen[-5:])
                    work.problems.append(f"{time.strftime('%T')}: {problem}; last answers: {last}")
                    return

    threads = [threading.Thread(target=visit) for _ in range(AT_WORK)]
    for thread in threads:
        thread.start()
    try:
        wait_for("visitors are answered", lambda: work.answers > 20)
        yield work
        at_the_end = work.answers
        wait_for("visitors are still answered", lambda: work.problems or work.answers > at_the_end + 20)
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def stop_at(cluster: Cluster, *some: str) -> None:
    """Begins an update and takes its power when one of these steps runs."""
    running = subprocess.Popen(
        ["scripts/up", cluster.name], cwd=cluster.checkout, env=cluster.environment, start_new_session=True
    )
    try:
        # Some last for a few tenths of a second.
        wait_for(f"one of {some} runs", lambda: steps(cluster)[1] & set(some) or running.poll() is not None, pause=0.01)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert running.returncode == -signal.SIGKILL, f"it was over before one of {some} ran"


def switch(cluster: Cluster, profile: str) -> None:
    """Changes the profile while visitors are at work; a first try ends when nodes read both kinds of sessions."""
    cluster.configure({"profile": profile})
    preview = cluster.pulumi("preview", "--stack", cluster.name).stdout
    for step in ("php1-handover", "php2-handover", "volume-arbiter", "php2-mount", "php2-php"):
        assert f" {step} " in preview, step
    with at_work(cluster) as work:
        # The volume has the article's options then. The switch itself changes it a few times only: too few to see
        # whether a session that is stored just then survives it.
        stop_at(cluster, *(["volume-arbiter"] if profile == "safe" else ["volume-start", "volume-heal"]))
        for node in ("php1", "php2"):
            assert "\ncache_timeout = 0\n" in cluster.ssh(node, f"cat {QUICK_READ}/private")
        cluster.ssh("lb1", CHANGE_OPTIONS)
        said("scripts/up", cluster.name, environment=cluster.environment)
    assert not work.problems
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
    status = cluster.status("--seconds", "60").stdout
    assert "would run again" not in status, status


def change_store(cluster: Cluster, store: str, *stopped: str) -> None:
    """Changes the session store while visitors are at work; a first try ends when one of these steps runs."""
    cluster.configure({"sessionStore": store})
    preview = cluster.pulumi("preview", "--stack", cluster.name).stdout
    for step in ("php1-both-stores", "php2-both-stores", "php2-new-store", "php1-sessions-moved", "php2-php"):
        assert f" {step} " in preview, step
    with at_work(cluster) as work:
        stop_at(cluster, *stopped)
        half = cluster.run("scripts/sessions", "--stack", cluster.name, "export", "0" * 12)
        assert (half.returncode, "on their way from one store to the other" in half.stderr) == (REFUSED, True), half
        said("scripts/up", cluster.name, environment=cluster.environment)
    assert not work.problems
    cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
    status = cluster.status("--seconds", "60").stdout
    assert "would run again" not in status, status


def all_there(standing: list[Visitor]) -> None:
    for visitor in standing:
        before = visitor.count
        assert visitor.visit()["counter"] == before + 1


def first_bytes(cluster: Cluster) -> set[str]:
    """How the sessions on a brick begin."""
    return set(cluster.ssh("lb2", "for file in /session/brick/sess_*; do head --bytes 6 $file; echo; done").split())


@pytest.mark.timeout(1800)  # four changes, each of which is interrupted once
def test_profiles_change_without_losing_a_session(fresh_backend: Path) -> None:
    cluster = Cluster(fresh_backend, {"phpNodes": "2", "profile": "article"})
    try:
        cluster.up()
        standing = [cluster.visitor() for _ in range(STANDING)]
        for number, visitor in enumerate(standing):
            for _ in range(number % 3 + 1):
                visitor.visit()

        switch(cluster, "safe")
        volume = cluster.outputs()["volumeInfo"]
        assert "Thin-arbiter-path: php1:" in volume and "network.ping-timeout: 2" in volume
        assert (pending_heals(cluster), outdated_for_arbiter(cluster)) == (0, "")
        all_there(standing)
        # What nobody has asked for since then is still as it was.
        assert "PCSREC" in first_bytes(cluster)
        for node in ("php1", "php2"):
            assert "--direct-io-mode=enable" in cluster.ssh(node, "pgrep --full --list-full ' /media/sessions$'")

        change_store(cluster, "log", "php1-new-store", "php2-new-store")
        assert not cluster.ssh("lb2", "ls /session/brick/ | grep sess_ || true")
        # There may be some besides, of whoever else has asked for the page.
        told = cluster.run("scripts/sessions", "--stack", cluster.name).stdout
        assert int(told.split()[1]) >= STANDING + 2 * AT_WORK and "\nlog: written by " in told, told
        all_there(standing)

        change_store(cluster, "files", "php1-sessions-moved")
        assert cluster.ssh("lb2", "ls -d /session/brick/log || true") == ""
        for node in ("php1", "php2"):
            left = cluster.ssh(
                node, "ls /usr/lib/php-cluster; systemctl is-active php-cluster-session-log.service || true"
            ).split()
            assert left[-1] == "inactive" and not {"service", "session-service", "session_service"} & set(left), left
        all_there(standing)

        switch(cluster, "article")
        volume = cluster.outputs()["volumeInfo"]
        assert "php1" not in volume and "ping-timeout" not in volume
        assert "PCSREC" not in first_bytes(cluster)
        all_there(standing)
        # Nothing of the arbiter is left.
        assert len(cluster.ssh("php1", "pgrep gluster").split()) == 1
        assert "arbiter" not in cluster.ssh("php1", "ls /etc/php-cluster /etc/systemd/system /var/lib/php-cluster")
    finally:
        cluster.save_journals()
        cluster.remove()
    nothing_is_left(cluster.lab)
