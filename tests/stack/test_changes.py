"""A cluster in use is changed: its site, its certificate, its number of nodes. No visitor notices."""

import base64
import csv
import functools
import json
import shutil
import ssl
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands import PROJECT
from tests.stack.cluster import Cluster, Visitor, request, standing, wait_for
from tests.unit.plan.test_settings import self_signed


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of its own, with a site of its own that says `old`."""
    folder = tmp_path_factory.mktemp("changing")
    shutil.copytree(PROJECT / "app", folder / "app")
    release(folder, "old")
    stack = Cluster(folder, {"phpNodes": "1", "appDir": str(folder / "app")})
    with standing(stack, request.session):
        yield stack


def release(folder: Path, name: str) -> None:
    # Two files that belong together: no answer may mix two releases.
    (folder / "app" / "release.php").write_text(f"<?php session_start(); require 'part.php'; echo '{name} ', part();")
    (folder / "app" / "part.php").write_text(f"<?php function part() {{ return '{name}'; }}")
    (folder / "app" / "visitor.php").write_text(
        "<?php echo json_encode(['https' => $_SERVER['HTTPS'] ?? 'off', 'address' => $_SERVER['REMOTE_ADDR'],"
        " 'for' => $_SERVER['HTTP_X_FORWARDED_FOR'], 'proto' => $_SERVER['HTTP_X_FORWARDED_PROTO']]);"
    )


@contextmanager
def visitors(url: str) -> Iterator[Counter[str]]:
    """Four visitors who never pause; what they got, by answer."""
    answers: Counter[str] = Counter()
    lock, enough = threading.Lock(), threading.Event()

    def visit() -> None:
        while not enough.is_set():
            try:
                answer = request(url)
                said = answer.text if answer.status == 200 else f"{answer.status} {answer.text}"
            except OSError as problem:
                said = str(problem)
            with lock:
                answers[said] += 1

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for("visitors are answered", lambda: answers.total() > 20)
        yield answers
        at_the_end = answers.total()
        wait_for("visitors are still answered", lambda: answers.total() > at_the_end + 20)
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def test_a_new_site_without_a_failing_request(changing: Cluster) -> None:
    url = changing.outputs()["url"] + "release.php"
    with visitors(url) as answers:
        release(changing.backend, "new")
        changing.up()
        assert request(url).text == "new new"
    assert set(answers) == {"old old", "new new"}, answers


def touched(stack: Cluster) -> set[str]:
    """The names of the resources that a preview would create, change or delete.

    From its JSON: in its text a sign of life may come between two rows, on the line of the second.
    """
    steps = json.loads(stack.pulumi("preview", "--json", "--stack", stack.name).stdout)["steps"]
    changing = [step["urn"] for step in steps if step["op"] != "same"]
    return {urn.rpartition("::")[2] for urn in changing if "::pulumi:pulumi:Stack::" not in urn}


LISTS = {
    *("volume-options", "volume-revoke", "volume-info"),
    *(f"{balancer}-{step}" for balancer in ("lb1", "lb2") for step in ("haproxy", "site-answers")),
}


def have_answered(visitor: Visitor, since: int, expected: set[str]) -> bool:
    """Whether all of these nodes have answered the visitor's next requests; that no other one does is asserted."""
    visitor.visit()
    nodes = {answer["node"] for answer in visitor.seen[since:]}
    if not nodes <= expected:
        raise RuntimeError(f"{nodes - expected} should be out of service")
    return nodes == expected


def test_more_nodes_and_fewer_again_without_a_failing_request(changing: Cluster) -> None:
    url = changing.outputs()["url"]
    visitor = changing.visitor()
    visitor.visit()
    with visitors(url + "release.php") as answers:
        for count, coming_or_leaving in ((2, {"php2"}), (4, {"php3", "php4"}), (1, {"php2", "php3", "php4"})):
            changing.configure({"phpNodes": str(count)})
            names = touched(changing)
            others = {name for name in names if name.partition("-")[0] not in coming_or_leaving}
            assert others == LISTS, others
            changing.up()
            expected = {f"php{number}" for number in range(1, count + 1)}
            since = len(visitor.seen)
            wait_for("all nodes answer", functools.partial(have_answered, visitor, since, expected))
    assert set(answers) == {"new new"}, answers
    # No update of the session was lost on the way, and none was done twice.
    assert visitor.count == len(visitor.seen)
    assert set(changing.outputs()["machines"]) == {"lb1", "lb2", "php1"}


def at_work(stack: Cluster) -> set[str]:
    """The nodes that have a request under way, as the active balancer sees it."""
    [active] = stack.owners_of_floating_ip()
    table = stack.enter(active, "echo 'show stat' | socat - UNIX-CONNECT:/run/haproxy/admin.sock")
    rows = csv.DictReader(table.removeprefix("# ").splitlines())
    return {row["svname"] for row in rows if row["pxname"] == "php" and row["scur"] != "0"} - {"FRONTEND", "BACKEND"}


def test_a_leaving_node_answers_what_it_has_begun(changing: Cluster) -> None:
    (changing.backend / "app" / "slow.php").write_text(
        "<?php session_start(); sleep(8); $_SESSION['slow'] = gethostname(); echo gethostname();"
    )
    changing.configure({"phpNodes": "2"})
    changing.up()
    url = changing.outputs()["url"] + "slow.php"
    wait_for("both nodes answer", functools.partial(have_answered, changing.visitor(), 0, {"php1", "php2"}))
    changing.configure({"phpNodes": "1"})
    # The balancers hear of it after one second or after many: whoever asks meanwhile is answered.
    with ThreadPoolExecutor(64) as pool:
        # They take turns, so the node that leaves has begun one of these two.
        asked = [pool.submit(request, url, timeout=60) for _ in range(2)]
        wait_for("both nodes are at work", lambda: at_work(changing) == {"php1", "php2"})
        updating = pool.submit(changing.up)
        while not updating.done():
            asked.append(pool.submit(request, url, timeout=60))
            # No more at a time than the workers of one node.
            time.sleep(2.5)
        updating.result()
        answers = [one.result() for one in asked]
    assert [answer.status for answer in answers if answer.status != 200] == []
    assert {answer.text for answer in answers} == {"php1", "php2"}


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("broken.php", "<?php function (", "broken.php line 1: "),
        ("index.php", "<?php session_start(); nobody_wrote_this();", "/ of the new site answers 500"),
    ],
)
def test_a_site_that_cannot_work_is_never_seen(changing: Cluster, file: str, text: str, complaint: str) -> None:
    changing.configure({"phpNodes": "2"})
    changing.up()
    folder = changing.backend / "app"
    kept = (folder / file).read_text() if (folder / file).exists() else None
    url = changing.outputs()["url"] + "release.php"
    release(changing.backend, "never seen")
    (folder / file).write_text(text)
    try:
        with visitors(url) as answers:
            refused = changing.pulumi("up", "--yes", "--skip-preview", "--stack", changing.name, check=False)
        assert refused.returncode != 0
        assert complaint in refused.stdout + refused.stderr, refused.stdout
        assert "Traceback" not in refused.stdout + refused.stderr, refused.stdout
        assert "the old one stays" in refused.stdout
        assert set(answers) == {"new new"}, answers
    finally:
        release(changing.backend, "new")
        (folder / file).unlink()
        if kept is not None:
            (folder / file).write_text(kept)
    changing.up()
    assert request(url).text == "new new"


def daemons(stack: Cluster) -> dict[str, str]:
    """The main process of each daemon: another one after a restart, the same after a reload."""
    units = {"lb1": "haproxy keepalived", "lb2": "haproxy keepalived", "php1": "nginx"}
    return {name: stack.ssh(name, f"systemctl show --property=MainPID {those}") for name, those in units.items()}


def test_settings_are_reloaded_by_their_own_steps_alone(changing: Cluster) -> None:
    changing.configure({"phpNodes": "1"})
    changing.up()
    before = daemons(changing)
    url = changing.outputs()["url"]
    with visitors(url + "release.php") as answers:
        for key, value, steps in (
            ("phpSettings.memory_limit", "200M", {"php1-php-tried", "php1-php"}),
            ('volumeOptions["performance.cache-size"]', "64MB", {"volume-options", "volume-info"}),
            ("requestSeconds", "45", {"php1-php-tried", "php1-php", "lb1-haproxy", "lb2-haproxy"}),
        ):
            changing.pulumi("config", "set", "--path", key, "--stack", changing.name, "--", value)
            assert touched(changing) == steps, key
            changing.up()
    assert set(answers) == {request(url + "release.php").text}, answers
    assert daemons(changing) == before
    assert "timeout server 45s" in changing.ssh("lb2", "cat /etc/haproxy/haproxy.cfg")
    assert "performance.cache-size: 64MB" in changing.outputs()["volumeInfo"]
    (changing.backend / "app" / "limit.php").write_text("<?php echo ini_get('memory_limit');")
    changing.up()
    assert request(url + "limit.php").text == "200M"

    # What is no longer set is Gluster's default again.
    changing.pulumi("config", "rm", "volumeOptions", "--stack", changing.name)
    changing.up()
    assert "performance.cache-size" not in changing.outputs()["volumeInfo"]


def test_an_option_that_gluster_does_not_know_is_refused_by_it(changing: Cluster) -> None:
    changing.pulumi("config", "set", "--path", 'volumeOptions["performance.no-such"]', "1", "--stack", changing.name)
    try:
        refused = changing.pulumi("up", "--yes", "--skip-preview", "--stack", changing.name, check=False)
    finally:
        changing.pulumi("config", "rm", "volumeOptions", "--stack", changing.name)
    assert refused.returncode != 0
    assert "performance.no-such" in refused.stdout
    changing.up()


def test_secrets_are_rotated_without_a_failing_request(changing: Cluster) -> None:
    before, processes = changing.outputs(), daemons(changing)
    with visitors(before["url"] + "release.php") as answers:
        for secret in ("login-key", "statistics-password"):
            changing.pulumi(
                *("up", "--yes", "--skip-preview", "--stack", changing.name),
                *("--replace", f"**RandomPassword::{secret}"),
            )
    assert set(answers) == {request(before["url"] + "release.php").text}, answers
    after = changing.outputs()
    assert daemons(changing) == processes

    key, hosts = changing.backend / "old-key", changing.backend / "known-hosts"
    hosts.write_text(after["knownHosts"] + "\n")
    for private_key, admitted in ((before["sshPrivateKey"], False), (after["sshPrivateKey"], True)):
        key.unlink(missing_ok=True)
        key.touch(mode=0o600)
        key.write_text(private_key)
        for machine in after["machines"].values():
            options = [f"UserKnownHostsFile={hosts}", "BatchMode=yes", "IdentitiesOnly=yes"]
            login = [
                "ssh",
                "-i",
                str(key),
                *(f"-o{option}" for option in options),
                f"root@{machine['address']}",
                "true",
            ]
            assert (changing.run(*login).returncode == 0) is admitted
    for password, status in ((before["statsPassword"], 401), (after["statsPassword"], 200)):
        proof = base64.b64encode(f"admin:{password}".encode()).decode()
        assert request(after["statsUrl"], {"Authorization": f"Basic {proof}"}).status == status
    changing.pulumi("preview", "--expect-no-changes", "--stack", changing.name)


def test_what_a_visitor_claims_to_be_is_not_believed(changing: Cluster) -> None:
    outputs = changing.outputs()
    gateway = outputs["floatingIp"].rpartition(".")[0] + ".1"
    claims = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Balancer": "mine"}
    seen = request(outputs["url"] + "visitor.php", claims).json()
    assert seen == {"https": "off", "address": gateway, "for": gateway, "proto": "http"}


def test_a_certificate_brings_https(changing: Cluster) -> None:
    certificate, key = self_signed()
    changing.configure({"tlsCertificate": certificate})
    changing.pulumi("config", "set", "--secret", "tlsKey", "--stack", changing.name, "--", key)
    changing.up()
    outputs = changing.outputs()
    assert outputs["url"] == f"https://{outputs['floatingIp']}/"

    # This very certificate is trusted, and nothing else; its name is not the address's.
    trust = ssl.create_default_context(cadata=certificate)
    trust.check_hostname = False
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with opener.open(outputs["url"] + "visitor.php") as response:
        seen = json.load(response)
    assert (seen["https"], seen["proto"]) == ("on", "https")
    with opener.open(f"http://{outputs['floatingIp']}/") as redirected:
        assert redirected.url == outputs["url"]
    state = "".join(path.read_text() for path in changing.backend.rglob("*.json"))
    assert key.splitlines()[1] not in state
