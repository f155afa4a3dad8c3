"""Applications as they come: set up, used, and used on while a balancer and then a PHP node have no power.

In the order in which they stand here: each test goes on where the one before has ended.
"""

import hashlib
import http
import re
from collections.abc import Iterator

import pytest

from tests.applications.applications import Application, DokuWiki, Person, PhpMyAdmin, SessionPage, WordPress
from tests.applications.packages import version_of
from tests.commands import PROJECT
from tests.stack.cluster import Cluster, request, wait_for
from tests.stack.health import balancers, whole_again

APPLICATIONS = (DokuWiki(), WordPress(), PhpMyAdmin(), SessionPage("symfony"), SessionPage("laravel"))
NODES = ("php1", "php2")
PACKAGES = {
    "DokuWiki": "dokuwiki",
    "WordPress": "wordpress",
    "phpMyAdmin": "phpmyadmin",
    "Symfony's HttpFoundation": "php-symfony-http-foundation",
    "Laravel's session middleware": "php-illuminate-session",
}
PRIVATE = ("dokuwiki/conf/users.auth.php", "dokuwiki/conf/mime.conf", "dokuwiki/data/pages/wiki/welcome.txt")
"""Files that DokuWiki has in folders to which its own .htaccess lets nobody in."""

each_application = pytest.mark.parametrize("application", APPLICATIONS, ids=lambda one: one.name)


def without(cluster: Cluster, machine: str) -> Iterator[None]:
    """A machine's power is off, and the cluster has noticed, as long as the block lasts."""
    cluster.lab_command("power-off", machine)
    try:
        wait_for("the site answers again", cluster.visitor().visit)
        wait_for("one more time", cluster.visitor().visit)
        yield
    finally:
        cluster.lab_command("restore", machine)
        whole_again(cluster)


@each_application
def test_installs_logs_in_and_saves(application: Application, person: Person) -> None:
    application.log_in(person)
    application.works(person)


class TestWithoutBalancer:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def power(cls, cluster: Cluster) -> Iterator[None]:
        yield from without(cluster, balancers(cluster)[0])

    @each_application
    def test_still_logged_in(self, application: Application, person: Person) -> None:
        application.works(person)


class TestWithoutNode:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def power(cls, cluster: Cluster) -> Iterator[None]:
        yield from without(cluster, "php2")

    @each_application
    def test_still_logged_in(self, application: Application, person: Person) -> None:
        application.works(person)


@each_application
@pytest.mark.parametrize("node", NODES)
def test_all_is_on_every_node(application: Application, node: str, cluster: Cluster, person: Person) -> None:
    """With the browser's cookies, but asked of the node itself."""
    assert application.notes
    for note in application.notes:
        assert note in ask(cluster, node, person, application.page_of(note), "cat"), note
    for path, content in application.uploads.items():
        assert ask(cluster, node, person, path, "sha256sum").split()[0] == hashlib.sha256(content).hexdigest(), path


def test_the_table_in_docs_has_these_versions() -> None:
    table = (PROJECT / "docs" / "applications.md").read_text().partition("## Applications that were tried")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("|")]
    documented = dict(row for row in rows[2:])
    assert len(documented) == len(PACKAGES), documented
    for name, package in PACKAGES.items():
        # DokuWiki's is a date, which Debian writes without hyphens.
        assert re.match(rf"(\d+:)?(0\.0\.)?{re.escape(documented[name].replace('-', ''))}\b", version_of(package)), name


@pytest.mark.parametrize("path", PRIVATE)
def test_what_apache_would_keep_is_kept(path: str, cluster: Cluster) -> None:
    assert request(cluster.outputs()["url"] + path).status == http.HTTPStatus.NOT_FOUND
    # It is there.
    cluster.ssh("php1", f"ls /srv/site/current/{path}")


def ask(cluster: Cluster, node: str, person: Person, path: str, then: str) -> str:
    """What a node answers, put through a command there; the cookies travel on standard input."""
    host = person.site.removeprefix("http://").rstrip("/")
    lines = (
        f'url = "http://127.0.0.1/{path}"',
        f'header = "Host: {host}"',
        f'header = "Cookie: {person.cookies(person.site + path)}"',
    )
    command = f"set -o pipefail; curl --silent --show-error --fail --max-time 60 --config - | {then}"
    return cluster.ssh(node, f"bash -c '{command}'", stdin="\n".join(lines))
