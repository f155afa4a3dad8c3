"""What a site is told of a request, and what becomes of its answer: as on one server. docs/requests.md describes it.

One cluster in three conditions: plain, then with TLS behind a proxy that sets headers, then behind one that speaks the
PROXY protocol. This box is the proxy; a machine more on the cluster's switch is anybody.
"""

import contextlib
import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stack.cluster import Cluster, standing, stranger, wait_for
from tests.unit.plan.test_settings import self_signed

REQUEST_SECONDS = 6
VISITOR = 250
"""The last number of a visitor's address who is no proxy."""

SERVER = "<?php header('Content-Type: application/json'); echo json_encode($_SERVER + ['_GET' => $_GET]);"
SITE = {
    "index.php": SERVER,
    "server.php": SERVER,
    "sub/index.php": SERVER,
    "pluginfile.php": SERVER,
    "lib.php/index.html": "a folder with such a name",
    ".well-known/security.txt": "Contact: mailto:security@example.org",
    ".env": "secret",
    ".user.ini": "post_max_size = 64M\n",
    "data/.htaccess": "Require all denied\n",
    "data/secret.txt": "secret",
    "sub/.htaccess": "php_value memory_limit 1G\n",
    "backup.sql": "secret",
    "composer.json": "secret",
    "vendor/tool/run.php": "<?php echo 'secret';",
    "vendor/tool/style.css": "asset",
    "assets/vendor/x.js": "asset",
    "upload/photo.jpg": "<?php echo 'run';",
    "header.php": "<?php header('X-Long: ' . str_repeat('x', (int) $_GET['bytes'])); echo 'ok';",
    "cookie.php": "<?php echo strlen($_SERVER['HTTP_COOKIE'] ?? '');",
    "body.php": "<?php echo strlen(file_get_contents('php://input'));",
    "accel.php": "<?php header('Content-Type: image/gif'); header('X-Accel-Redirect: /.internal/data/secret.txt');",
    "ini.php": "<?php echo ini_get($_GET['name']);",
    "pid.php": "<?php file_put_contents('/tmp/hanging', getmypid()); sleep(600);",
    "count.php": "<?php session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;",
}


@dataclass
class Said:
    """An answer, as curl saw it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def server(self) -> dict[str, Any]:
        """PHP's $_SERVER."""
        told: dict[str, Any] = json.loads(self.body)
        return told


def parsed(answer: bytes) -> Said:
    """An answer with its head, lines ended in any way; those before it, such as 100, are left out."""
    head, _, body = answer.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode().split("\n")
    status = int(first.split(" ")[1])
    if status == 100:
        return parsed(body)
    fields = (line.partition(":") for line in lines)
    return Said(status, {name.lower(): value.strip() for name, _, value in fields}, body)


class Asking:
    """Asks the site, from this box or from a machine that is nothing to it."""

    def __init__(self, cluster: Cluster, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        self.cluster, self.elsewhere = cluster, run
        self.address = cluster.outputs()["floatingIp"]
        network = self.address.rpartition(".")[0]
        self.box, self.visitor = f"{network}.1", f"{network}.{VISITOR}"

    def ask(self, target: str, *options: str, scheme: str = "http", box: bool = False) -> Said:
        """One request by curl; `options` are curl's own."""
        command = ["curl", "--silent", "--include", "--insecure", "--path-as-is", "--max-time", "60", "--noproxy", "*"]
        command += ["--suppress-connect-headers", "--http1.1", *options, f"{scheme}://{self.address}{target}"]
        if box:
            done = subprocess.run(command, capture_output=True, check=False)
            return parsed(done.stdout)
        return parsed(self.elsewhere(*command).stdout.encode())

    def server(self, target: str, *options: str, scheme: str = "http", box: bool = False) -> dict[str, Any]:
        """What PHP was told of one request."""
        answer = self.ask(target, *options, scheme=scheme, box=box)
        assert answer.status == 200, (answer.status, answer.body[:300])
        return answer.server


def raw(address: str, text: str) -> Said:
    """What is answered to these very bytes, sent from this box to port 80; status 0 if nothing is."""
    answer = b""
    with socket.create_connection((address, 80), timeout=30) as connection, contextlib.suppress(ConnectionResetError):
        connection.sendall(text.encode())
        while some := connection.recv(65536):
            answer += some
    return parsed(answer) if answer else Said(0, {}, b"")


def headers(**values: str) -> list[str]:
    """curl's options for headers."""
    return [word for name, value in values.items() for word in ("--header", f"{name.replace('_', '-')}: {value}")]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("requests")
    for name, text in SITE.items():
        (folder / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "site" / name).write_text(text)
    settings = {
        "phpNodes": "1",
        "appDir": str(folder / "site"),
        "siteName": "www.example.org",
        "requestSeconds": str(REQUEST_SECONDS),
        "phpSettings.error_reporting": "E_ALL & ~E_DEPRECATED",
        "phpSettings.user_agent": "a; b & (c) ~ d",
        "healthPath": "/server.php",
    }
    cluster = Cluster(folder, settings)
    with standing(cluster, request.session):
        yield cluster


@pytest.fixture(scope="module")
def asking(stack: Cluster) -> Iterator[Asking]:
    with stranger(stack, VISITOR) as run:
        yield Asking(stack, run)


OTHER = "203.0.113.9"
CLAIMS = {
    **{"X-Forwarded-For": OTHER, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"},
    **{"X-Forwarded-Port": "1", "X-Forwarded-Ssl": "on", "X-Forwarded-Prefix": "/x", "X-Forwarded": f"for={OTHER}"},
    **{"Forwarded": f"for={OTHER}", "X-Real-IP": OTHER, "X-Original-URL": "/admin", "X-Rewrite-URL": "/admin"},
    **{"Proxy": "http://evil.example", "X-Balancer": "evil", "X_Forwarded_For": OTHER, "Client-IP": OTHER},
    **{"CF-Connecting-IP": OTHER, "True-Client-IP": OTHER, "X-Original-Host": "evil.example"},
    **{"X-Sendfile-Type": "X-Accel-Redirect", "X-Accel-Mapping": "/=/", "X-Request-Id": "evil"},
    **{"Front-End-Https": "on", "X-Remote-User": "root"},
}


def claimed(claims: Sequence[str] = tuple(CLAIMS)) -> list[str]:
    return [word for name in claims for word in ("--header", f"{name}: {CLAIMS[name]}")]


def test_the_name_and_the_port_that_were_asked_for(asking: Asking) -> None:
    told = asking.server("/server.php", "--header", "Host: shop.example.org:8080")
    assert (told["SERVER_NAME"], told["HTTP_HOST"], told["SERVER_PORT"]) == (
        "shop.example.org",
        "shop.example.org:8080",
        "8080",
    )
    told = asking.server("/server.php", "--header", "Host: shop.example.org")
    assert (told["SERVER_NAME"], told["HTTP_HOST"], told["SERVER_PORT"]) == (
        "shop.example.org",
        "shop.example.org",
        "80",
    )
    assert (told["REQUEST_SCHEME"], told.get("HTTPS")) == ("http", None)


def test_a_request_that_names_no_host_gets_the_sites(asking: Asking) -> None:
    told = raw(asking.address, "GET /server.php HTTP/1.0\r\n\r\n").server
    assert (told["SERVER_NAME"], told["HTTP_HOST"]) == ("www.example.org", "www.example.org")


def test_a_host_that_contradicts_the_target_does_not_count(asking: Asking) -> None:
    target = "GET http://good.example:81/server.php HTTP/1.0\r\n"
    answer = raw(asking.address, f"{target}Host: evil.example\r\n\r\n")
    assert answer.status == 400 or "evil.example" not in answer.text
    told = raw(asking.address, f"{target}Host: good.example:81\r\n\r\n").server
    assert (told["HTTP_HOST"], told["SERVER_NAME"]) == ("good.example:81", "good.example")


def test_redirects_of_the_web_server_keep_what_was_asked_for(asking: Asking) -> None:
    answer = asking.ask("/sub?a=1", "--header", "Host: shop.example.org:8080")
    assert (answer.status, answer.headers["location"]) == (301, "/sub/?a=1")


def test_nothing_that_a_visitor_claims_reaches_php(asking: Asking) -> None:
    told = asking.server("/server.php", *claimed(), "--header", "Host: shop.example.org")
    ours = {
        "HTTP_X_FORWARDED_FOR": asking.visitor,
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_X_FORWARDED_HOST": "shop.example.org",
        "HTTP_X_FORWARDED_PORT": "80",
        "HTTP_X_REAL_IP": asking.visitor,
    }
    assert {name: told[name] for name in ours} == ours
    assert told["REMOTE_ADDR"] == asking.visitor and told["HTTP_X_BALANCER"] in ("lb1", "lb2")
    assert "HTTPS" not in told and "REMOTE_USER" not in told
    kept = {f"HTTP_{name.upper().replace('-', '_')}" for name in CLAIMS} & set(told)
    assert kept == {*ours, "HTTP_X_BALANCER", "HTTP_X_REQUEST_ID"} and told["HTTP_X_REQUEST_ID"] != "evil"


def test_other_headers_reach_php(asking: Asking) -> None:
    told = asking.server("/server.php", *headers(X_Requested_With="x", X_HTTP_Method_Override="PUT", X_Forward="y"))
    assert (told["HTTP_X_REQUESTED_WITH"], told["HTTP_X_HTTP_METHOD_OVERRIDE"], told["HTTP_X_FORWARD"]) == (
        "x",
        "PUT",
        "y",
    )


@pytest.mark.parametrize(
    ("target", "script", "path_info"),
    [
        ("/index.php/Title%20one?a=1", "/index.php", "/Title one"),
        ("/pluginfile.php/34/theme/x.css", "/pluginfile.php", "/34/theme/x.css"),
        ("/sub/index.php/a.php/b", "/sub/index.php", "/a.php/b"),
        # What looks like a file that nobody gets is a title here.
        ("/index.php/Backup.sql", "/index.php", "/Backup.sql"),
        ("/index.php/.NET", "/index.php", "/.NET"),
        ("/sub/", "/sub/index.php", None),
        ("/no/such/page?a=1", "/index.php", None),
        ("/wiki/Dump.sql", "/index.php", None),
        ("/.well-known/change-password", "/index.php", None),
    ],
)
def test_script_and_path(asking: Asking, target: str, script: str, path_info: str | None) -> None:
    told = asking.server(target)
    assert (told["SCRIPT_NAME"], told.get("PATH_INFO"), told["REQUEST_URI"]) == (script, path_info, target)
    assert told["PHP_SELF"] == script + (path_info or "")
    assert told["SCRIPT_FILENAME"] == told["DOCUMENT_ROOT"] + script
    assert told["_GET"] == ({"a": "1"} if "?" in target else [])


def test_only_files_that_end_in_php_are_run(asking: Asking) -> None:
    photo = "/upload/photo.jpg"
    for target in (f"{photo}/y.php", f"{photo}/.php", f"{photo}%00.php", "/no.php/x", "/lib.php"):
        answer = asking.ask(target)
        assert answer.status in (400, 404, 301) and b"run" not in answer.body, (target, answer)
    assert asking.ask("/upload/photo.jpg").text == SITE["upload/photo.jpg"]


def test_well_known_files_are_served(asking: Asking) -> None:
    assert asking.ask("/.well-known/security.txt").text == SITE[".well-known/security.txt"]


@pytest.mark.parametrize(
    "target",
    [
        *("/.env", "/%2eenv", "//.env", "/sub/../.env", "/data/.htaccess", "/data/secret.txt", "/backup.sql"),
        *("/composer.json", "/vendor/tool/run.php", "/vendor/tool/run.php/x", "/vendor/", "/vendor", "/.user.ini"),
        *("/.git/config", "/.internal/data/secret.txt", "/.internal/../data/secret.txt"),
    ],
)
def test_what_nobody_gets(asking: Asking, target: str) -> None:
    answer = asking.ask(target)
    assert answer.status == 404 and b"secret" not in answer.body, answer


def test_assets_are_served_from_folders_of_libraries(asking: Asking) -> None:
    assert [asking.ask(path).text for path in ("/vendor/tool/style.css", "/assets/vendor/x.js")] == ["asset", "asset"]


@pytest.mark.parametrize("before", ["/", "//", "/x/../", "/./", "/%2e/"])
@pytest.mark.parametrize("folder", [".php-cluster", "%2ephp-cluster", ".PHP-cluster", ".php%2dcluster"])
def test_inner_pages_are_not_outside(asking: Asking, before: str, folder: str) -> None:
    for page in ("health", "alive", "owner", "balancer", "view"):
        assert asking.ask(f"{before}{folder}/{page}").status == 404, page


def test_the_inner_ports_are_the_machines_own(asking: Asking) -> None:
    stack = asking.cluster
    php1, lb1 = stack.address("php1"), stack.address("lb1")
    for url in (f"{php1}:8406/health", f"{php1}/", f"{lb1}:8405/members", f"{lb1}:8405/balancer"):
        # No answer at all: its packets are dropped.
        assert asking.elsewhere("curl", "--silent", "--max-time", "3", url).returncode == 28, url
    # What is for an operator with a password is open; what is for the machine itself is not.
    done = asking.elsewhere("curl", "--silent", "--include", f"http://{lb1}:8404/.php-cluster/view")
    assert parsed(done.stdout.encode()).status == 404
    for machine, address in (("lb1", php1), ("php1", "127.0.0.1")):
        assert stack.ssh(machine, f"curl --silent http://{address}:8406/health") == "ok\n"
    [owner] = stack.owners_of_floating_ip()
    assert stack.ssh("lb1", f"curl --silent http://{php1}:8406/owner") == f"{owner}\n"


@pytest.mark.parametrize("size", [6_000, 14_000, 30_000])
def test_long_headers_of_an_answer(asking: Asking, size: int) -> None:
    answer = asking.ask(f"/header.php?bytes={size}")
    assert (answer.status, len(answer.headers["x-long"]), answer.text) == (200, size, "ok")


@pytest.mark.parametrize("size", [7_000, 14_000, 28_000])
def test_long_cookies_of_a_request(asking: Asking, size: int) -> None:
    assert asking.ask("/cookie.php", "--header", f"Cookie: a={'x' * size}").text == str(size + 2)


def test_the_largest_body_that_the_site_allows(asking: Asking, tmp_path: Path) -> None:
    for size, status in ((60, 200), (70, 413)):
        (tmp_path / "body").write_bytes(bytes(size * 1024**2))
        answer = asking.ask("/body.php", "--header", "Expect:", "--data-binary", f"@{tmp_path / 'body'}")
        assert answer.status == status
        assert status != 200 or answer.text == str(size * 1024**2)


def test_a_page_hands_a_file_to_the_web_server(asking: Asking) -> None:
    answer = asking.ask("/accel.php")
    assert (answer.status, answer.text, answer.headers["content-type"]) == (200, "secret", "image/gif")
    assert answer.headers["accept-ranges"] == "bytes"


def test_settings_are_read_as_php_reads_them(asking: Asking) -> None:
    right = {
        # PHP's own numbers: E_ALL of 8.4 is another one than that of 8.2.
        "error_reporting": asking.cluster.ssh("php1", "php -r 'echo E_ALL & ~E_DEPRECATED;'"),
        "user_agent": "a; b & (c) ~ d",
        "max_execution_time": str(REQUEST_SECONDS),
    }
    assert {name: asking.ask(f"/ini.php?name={name}").text for name in right} == right


def test_a_page_that_hangs_in_a_call_ends(asking: Asking) -> None:
    stack = asking.cluster
    cookie = asking.ask("/count.php").headers["set-cookie"].partition(";")[0]
    assert asking.ask("/pid.php").status == 504
    pid = stack.ssh("php1", "cat /tmp/hanging")
    wait_for("the worker has ended", lambda: stack.ssh("php1", f"test -d /proc/{pid} || echo gone"), limit=60)
    # Neither the mount nor PHP has suffered.
    assert asking.ask("/count.php", "--cookie", cookie).text == "2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_limit", "256"),
        ("open_basedir", "/nowhere"),
        ("auto_append_file", "/nowhere.php"),
        ("disable_functions", "json_encode"),
        ("extension", "no_such_extension"),
    ],
)
def test_settings_that_cannot_work_stop_the_update(asking: Asking, name: str, value: str) -> None:
    stack = asking.cluster
    stack.configure({f"phpSettings.{name}": value})
    try:
        done = stack.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name, check=False)
        assert done.returncode != 0 and "phpSettings" in done.stdout, done.stdout
        assert asking.ask("/server.php").status == 200
        assert stack.ssh("php1", f"grep '^{name} = .*{value}' /etc/php/*/fpm/conf.d/90-php-cluster.ini || true") == ""
        assert stack.ssh("php1", "systemctl list-units --no-legend --all '*-trial.service'") == ""
    finally:
        stack.pulumi("config", "rm", "--path", f"phpSettings.{name}", "--stack", stack.name)


def test_the_preview_warns_of_rules_that_are_not_followed(asking: Asking) -> None:
    stack = asking.cluster
    said = stack.pulumi("preview", "--stack", stack.name).stdout
    assert "sub/.htaccess: php_value" in said and "data/.htaccess" not in said


def test_a_setting_that_works_is_taken(asking: Asking) -> None:
    asking.cluster.configure({"phpSettings.memory_limit": "192M"})
    output = asking.cluster.up()
    assert "/server.php answers with these PHP settings" in output
    assert asking.ask("/ini.php?name=memory_limit").text == "192M"
    asking.cluster.pulumi("preview", "--expect-no-changes", "--stack", asking.cluster.name)


@pytest.fixture(scope="module")
def proxied(asking: Asking) -> Asking:
    """TLS, and this box is a proxy that sets headers."""
    stack = asking.cluster
    certificate, key = self_signed()
    stack.configure({"tlsCertificate": certificate, "trustedProxies[0]": f"{asking.box}/32"})
    stack.configure({"trustedProxies[1]": "203.0.113.0/28"})
    stack.run("pulumi", "config", "set", "--secret", "tlsKey", "--stack", stack.name, stdin=key)
    stack.up()
    return asking


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_under_tls(proxied: Asking, version: str) -> None:
    told = proxied.ask("/server.php", *claimed(), "--header", "Host: shop.example.org", version, scheme="https").server
    assert (told["HTTPS"], told["REQUEST_SCHEME"], told["SERVER_PORT"]) == ("on", "https", "443")
    assert (told["HTTP_X_FORWARDED_PROTO"], told["HTTP_X_FORWARDED_PORT"], told["HTTP_HOST"]) == (
        "https",
        "443",
        "shop.example.org",
    )
    assert told["REMOTE_ADDR"] == told["HTTP_X_FORWARDED_FOR"] == proxied.visitor


def test_plain_requests_are_sent_to_tls(proxied: Asking) -> None:
    answer = proxied.ask("/sub?a=1", *claimed(), "--header", "Host: shop.example.org:8080")
    assert (answer.status, answer.headers["location"]) == (301, "https://shop.example.org/sub?a=1")
    answer = proxied.ask("/sub", "--header", "Host: shop.example.org", scheme="https")
    assert (answer.status, answer.headers["location"]) == (301, "/sub/")


def test_a_tls_proxy_makes_no_loop_and_its_visitor_is_known(proxied: Asking) -> None:
    told = proxied.server(
        "/server.php",
        *headers(X_Forwarded_For="198.51.100.66, 198.51.100.7, 203.0.113.5", X_Forwarded_Proto="https"),
        *headers(X_Forwarded_Host="shop.example.org", Host="origin.example.org", X_Original_URL="/admin"),
        box=True,
    )
    # The last one that is no proxy; what stands before it was said by the visitor.
    assert told["REMOTE_ADDR"] == told["HTTP_X_FORWARDED_FOR"] == told["HTTP_X_REAL_IP"] == "198.51.100.7"
    assert (told["HTTPS"], told["REQUEST_SCHEME"], told["SERVER_PORT"]) == ("on", "https", "443")
    assert (told["HTTP_HOST"], told["SERVER_NAME"]) == ("shop.example.org", "shop.example.org")
    assert "HTTP_X_ORIGINAL_URL" not in told


def test_a_port_that_a_proxy_names(proxied: Asking) -> None:
    told = proxied.server("/server.php", *headers(X_Forwarded_Proto="https", X_Forwarded_Port="8443"), box=True)
    assert (told["SERVER_PORT"], told["HTTP_X_FORWARDED_PORT"]) == ("8443", "8443")
    told = proxied.server(
        "/server.php", *headers(X_Forwarded_Proto="https", X_Forwarded_Port="x", X_Forwarded_Host="a b"), box=True
    )
    assert (told["SERVER_PORT"], told["HTTP_HOST"]) == ("443", proxied.address)


def test_a_proxy_that_was_asked_in_plain_gets_the_redirect(proxied: Asking) -> None:
    answer = proxied.ask("/", *headers(X_Forwarded_Proto="http", X_Forwarded_Host="shop.example.org"), box=True)
    assert (answer.status, answer.headers["location"]) == (301, "https://shop.example.org/")


def test_inner_pages_are_not_outside_of_tls(proxied: Asking) -> None:
    for target in ("//.php-cluster/health", "/%2ephp-cluster/owner", "/x/../.php-cluster/alive"):
        assert proxied.ask(target, scheme="https").status == 404


@pytest.fixture(scope="module")
def by_protocol(proxied: Asking) -> Asking:
    """This box speaks the PROXY protocol."""
    stack = proxied.cluster
    stack.configure({"proxyProtocol": "true"})
    for key in ("tlsCertificate", "tlsKey"):
        stack.pulumi("config", "rm", key, "--stack", stack.name)
    stack.up()
    return proxied


def test_the_proxy_protocol_names_the_visitor(by_protocol: Asking) -> None:
    words = ["GET /server.php HTTP/1.0", "Host: shop.example.org", f"X-Forwarded-For: {OTHER}"]
    request = "\r\n".join([*words, "X-Forwarded-Proto: https", "", ""])
    line = f"PROXY TCP4 198.51.100.7 {by_protocol.address} 40000 80\r\n"
    told = raw(by_protocol.address, line + request).server
    assert told["REMOTE_ADDR"] == told["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"
    # What it passes on is the visitor's own word.
    assert "HTTPS" not in told
    # It has to say it, and nobody else may.
    assert raw(by_protocol.address, request).status == 0
    assert by_protocol.server("/server.php", *claimed())["REMOTE_ADDR"] == by_protocol.visitor
    send = f"exec 3<>/dev/tcp/{by_protocol.address}/80; printf '{line}' >&3; head -1 <&3"
    assert " 400 " in by_protocol.elsewhere("bash", "-c", send).stdout
