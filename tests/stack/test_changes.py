"""A cluster in use is changed: its site, its certificate, its number of nodes. No visitor notices."""

import json
import shutil
import ssl
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands import PROJECT
from tests.stack.cluster import Cluster, leftovers, request, wait_for
from tests.unit.test_settings import self_signed


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of its own, with a site of its own that says `old`."""
    folder = tmp_path_factory.mktemp("changing")
    shutil.copytree(PROJECT / "app", folder / "app")
    release(folder, "old")
    stack = Cluster(folder, {"phpNodes": "1", "appDir": str(folder / "app")})
    try:
        stack.up()
        yield stack
    finally:
        if request.session.testsfailed:
            stack.save_journals()
        stack.remove()
    assert leftovers(stack.lab) == []


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


def test_one_more_node_and_away_again_without_a_failing_request(changing: Cluster) -> None:
    url = changing.outputs()["url"]
    visitor = changing.visitor()
    visitor.visit()
    with visitors(url + "release.php") as answers:
        changing.configure({"phpNodes": "2"})
        changing.up()
        wait_for("the new node answers", lambda: visitor.visit()["node"] == "php2")
    assert set(answers) == {"new new"}, answers
    assert visitor.count == len(visitor.seen)

    changing.configure({"phpNodes": "1"})
    changing.up()
    for _ in range(5):
        assert visitor.visit()["node"] == "php1"
    assert visitor.count == len(visitor.seen)
    assert set(changing.outputs()["machines"]) == {"lb1", "lb2", "php1"}


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
