"""The site's environment and web root under nginx and php-fpm, inside the image."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.php.node import fpm_configuration, nginx_site
from components.plan import topology
from components.plan.topology import Profile
from components.site.jobs import environment_file
from tests.lab.conftest import Image
from tests.release import RELEASE
from tests.stack.cluster import request, wait_for

PLAN = topology.plan("198.18.7.0/24", 1, Profile.SAFE)
VALUES = {
    "PLAIN": "plain",
    "EMPTY": "",
    "QUOTES": "\"double\" 'single' `back`",
    "SHELL": "$HOME ${PATH} $(id) \\ \\n ! * ?",
    "INI": "a = b ; comment # % & | ^ ~ { } [x] null on",
    "LINES": "-----BEGIN KEY-----\n\tsecond line\n\n-----END KEY-----\n",
    "UNICODE": "äß日本🙂",
    "LONG": "0123456789abcdef" * 4096,
}


@pytest.fixture
def url(image: Image, tmp_path: Path) -> Iterator[str]:
    """A site in the web root of a release, with this environment."""
    pages = tmp_path / "site" / "public"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pages.mkdir(parents=True)
    (pages / "index.php").write_text("<?php echo json_encode(['getenv' => getenv(), 'server' => $_SERVER]);")
    (tmp_path / "site" / "beside.php").write_text("<?php echo 'not for visitors';")
    site = nginx_site(PLAN, {}, 60).replace("listen 80", f"listen 127.0.0.1:{port}")
    site = site.replace("127.0.0.1:8081", "unix:/run/trial.sock")
    texts = {
        "nginx.conf": f"user www-data;\nevents {{}}\nhttp {{\n{site}}}\n",
        "fpm.conf": fpm_configuration(Profile.ARTICLE, 1, 60, list(VALUES)).replace("syslog\n", "/dev/stderr\n"),
        "environment": environment_file(VALUES),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    tmp_path.chmod(0o755)
    script = f"""
        mkdir -p /run/php-cluster /srv/site
        ln -s /files/site /srv/site/current
        ln -s /files/site/public /srv/site/web
        ln -s site-a.sock /run/php-cluster/site.sock
        (set -a; . /files/environment; FPM=a exec php-fpm{RELEASE.php} --nodaemonize --fpm-config /files/fpm.conf) &
        exec nginx -c /files/nginx.conf -g "daemon off;"
    """
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            image.command("bash", "-c", script, files=tmp_path, own_network=False),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_for("PHP answers", lambda: request(address).status == 200, 30)
        yield address
    finally:
        running.terminate()
        running.wait(60)
        sys.stdout.write((tmp_path / "log").read_text())


def test_pages_see_every_value_as_it_is(url: str) -> None:
    seen = request(url).json()
    for where in ("getenv", "server"):
        assert {name: seen[where].get(name) for name in VALUES} == VALUES, where
    # Of the process that starts PHP nothing else is passed on.
    assert "FPM" not in seen["getenv"]


def test_the_web_root_is_served_and_nothing_beside_it(url: str) -> None:
    server = request(url).json()["server"]
    assert (server["DOCUMENT_ROOT"], server["SCRIPT_FILENAME"]) == (
        "/files/site/public",
        "/files/site/public/index.php",
    )
    assert "not for visitors" not in request(url + "beside.php").text + request(url + "%2e%2e/beside.php").text
