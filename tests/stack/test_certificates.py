"""A CA's certificate: issued, renewed, shared by both balancers, and what becomes of it when something is away."""

import contextlib
import email.message
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from scripts.cluster_status import ASKS_NOW
from tests.release import RELEASE
from tests.stack.certificate_authority import CertificateAuthority
from tests.stack.cluster import Cluster, Visitor, request, standing, wait_for
from tests.stack.health import balancers

NAME, OTHER_NAME = "www.example.test", "example.test"
SECONDS = 240
"""So long a certificate holds: it is renewed in its last third, and looked at each minute."""

DUE = "/var/lib/php-cluster/acme/due"
ADMIN = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"


@dataclass
class Answer:
    """What a visitor gets who looks at the certificate."""

    status: int
    headers: email.message.Message
    certificate: bytes


def visit(address: str, trust: ssl.SSLContext, path: str = "/") -> Answer:
    """One GET by TLS at this address, of the site's name."""
    with socket.create_connection((address, 443), timeout=5) as connection:
        tls = trust.wrap_socket(connection, server_hostname=NAME)
        asked = http.client.HTTPSConnection(NAME)
        asked.sock = tls
        asked.request("GET", path)
        answer = asked.getresponse()
        answer.read()
        certificate = tls.getpeercert(binary_form=True)
        assert certificate
        return Answer(answer.status, answer.headers, certificate)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that knows of no CA when it is made."""
    stack = Cluster(tmp_path_factory.mktemp("state"), {"phpNodes": "1", "siteName": NAME, "floatingIp6": "auto"})
    with standing(stack, request.session):
        yield stack


@pytest.fixture(scope="module")
def ca(certified: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CertificateAuthority]:
    """A CA that the balancers trust. In its eyes each name leads to the floating IP."""
    floating_ip = certified.outputs()["floatingIp"]
    authority = CertificateAuthority(
        tmp_path_factory.mktemp("ca"), f"{floating_ip.rpartition('.')[0]}.1", floating_ip, SECONDS
    )
    try:
        authority.start()
        for balancer in ("lb1", "lb2"):
            certified.ssh(
                balancer,
                "cat >/usr/local/share/ca-certificates/test.crt && update-ca-certificates",
                authority.own_certificate.read_text(),
            )
        yield authority
    finally:
        authority.stop()


def places(cluster: Cluster) -> list[str]:
    """Where a balancer answers: the floating IP, each one's own address, and the IPv6 address."""
    outputs = cluster.outputs()
    return [outputs["floatingIp"], cluster.address("lb1"), cluster.address("lb2"), outputs["floatingIp6"]]


def literal(place: str) -> str:
    """As URLs have it."""
    return f"[{place}]" if ":" in place else place


def both_serve_one(cluster: Cluster, ca: CertificateAuthority, old: bytes = b"") -> bytes:
    """Waits until both balancers serve the same certificate of the CA, and another one than the `old`."""
    trust = ca.trusting()

    def served() -> bytes:
        [found] = {visit(place, trust).certificate for place in places(cluster)}
        assert found != old
        return found

    # The other one's turn comes within a minute.
    return wait_for("both serve the new certificate", served, 100)


def problems(cluster: Cluster) -> list[str]:
    """Those of certificates: no name server of this box knows the site's name."""
    found = json.loads(cluster.status("--json", "--seconds", "30").stdout)
    return [problem for problem in found["problems"] if not problem.startswith("the site: no answer")]


@dataclass
class Browser:
    """Somebody who asks the site again and again, and believes no certificate but the CA's."""

    cluster: Cluster
    trust: ssl.SSLContext
    failures: list[str] = field(default_factory=list)
    answers: int = 0

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        ended = threading.Event()
        address = self.cluster.outputs()["floatingIp"]

        def ask() -> None:
            while not ended.wait(0.2):
                try:
                    assert visit(address, self.trust).status == 200
                    self.answers += 1
                except (OSError, AssertionError, http.client.HTTPException) as problem:
                    self.failures.append(repr(problem))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def started(cluster: Cluster, balancer: str) -> str:
    """The process of HAProxy that serves there: another one after a reload."""
    return next(
        line for line in cluster.ssh(balancer, f"echo 'show info' | {ADMIN}").splitlines() if line[:5] == "Pid: "
    )


def test_a_living_cluster_gets_one(certified: Cluster, ca: CertificateAuthority) -> None:
    asked = {"acme.email": "admin@example.test", "acme.directory": ca.directory, "hsts": "3600"}
    certified.configure(asked | ({"http3": "true"} if RELEASE.quic else {}))
    said = certified.up()
    assert f"{ca.directory} is asked for a certificate of {NAME}" in said and "no new certificate" not in said
    assert certified.outputs()["url"] == f"https://{NAME}/"
    both_serve_one(certified, ca)
    certified.pulumi("preview", "--expect-no-changes", "--stack", certified.name)
    for step in ("certificate", "haproxy", "certificate-asked"):
        done = certified.ssh("lb1", f"bash /var/lib/php-cluster/steps/lb1-{step}")
        assert done.strip().endswith("(nothing to change)"), done
    assert problems(certified) == []
    assert "days left" in certified.status("--seconds", "30").stdout


def test_visitors_get_what_browsers_ask_for(certified: Cluster, ca: CertificateAuthority) -> None:
    trust = ca.trusting()
    answer = visit(places(certified)[0], trust)
    assert answer.headers["Strict-Transport-Security"] == "max-age=3600"
    [cookie] = answer.headers.get_all("Set-Cookie", [])
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax"} <= attributes
    # A cipher without forward secrecy.
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    assert visit(places(certified)[0], trust).status == 200
    trust.set_ciphers("AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        visit(places(certified)[0], trust)


speaks_quic = pytest.mark.skipif(not RELEASE.quic, reason="this release's HAProxy speaks no QUIC")


def by_http3(cluster: Cluster, place: str, *options: str) -> str:
    """What curl on a PHP node writes of a visit at this address by HTTP/3, which this box's own may not know."""
    resolved = f"--resolve {NAME}:443:{literal(place)} https://{NAME}/"
    return cluster.ssh("php1", f"curl --http3-only --insecure --silent --max-time 8 {' '.join(options)} {resolved}")


def is_reset(place: str) -> bool:
    """Whether who goes on with a connection that nobody has is told so, and from the address that was asked."""
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as visitor:
        visitor.settimeout(2)
        visitor.connect((place, 443))
        visitor.send(b"\x40" + os.urandom(99))
        return 20 < len(visitor.recv(100)) < 100


@speaks_quic
def test_visitors_may_speak_http3(certified: Cluster, ca: CertificateAuthority) -> None:
    floating_ip, *_, floating_ip6 = places(certified)
    assert visit(floating_ip, ca.trusting()).headers["Alt-Svc"] == 'h3=":443"; ma=3600'
    # By IPv6 no node gets there; what this box sends without curl is enough for that one.
    said = by_http3(certified, floating_ip, "--output /dev/null --write-out '%{http_version} %{http_code}\\n%{certs}'")
    assert said.startswith("3 200\n")
    chain = said[said.index("-----BEGIN") : said.index("-----END")]
    assert ssl.PEM_cert_to_DER_cert(f"{chain}-----END CERTIFICATE-----") == both_serve_one(certified, ca)
    assert is_reset(floating_ip) and is_reset(floating_ip6)


@speaks_quic
def test_a_reload_leaves_http3_to_its_visitors(certified: Cluster) -> None:
    """Two requests on one connection, and a reload between them."""
    active, _ = balancers(certified)
    certified.ssh(active, "systemd-run --on-active=1 systemctl reload haproxy")
    place = places(certified)[0]
    twice = f"--output /dev/null --output /dev/null --rate 20/m --write-out '%{{http_code}} ' https://{NAME}/"
    assert by_http3(certified, place, twice).split() == ["200", "200"]


def test_either_balancer_answers_a_challenge(certified: Cluster, ca: CertificateAuthority) -> None:
    def answers() -> set[str]:
        path = ".well-known/acme-challenge/a-token_1"
        found = [request(f"http://{literal(place)}/{path}") for place in places(certified)]
        assert {each.status for each in found} == {200}
        return {each.text for each in found}

    [answer] = answers()
    assert answer.startswith("a-token_1.")
    certified.run("scripts/maintenance", "--stack", certified.name, "on")
    try:
        assert visit(places(certified)[0], ca.trusting()).status == 503
        assert answers() == {answer}
    finally:
        certified.run("scripts/maintenance", "--stack", certified.name, "off")
    # What is no challenge is the site's, and that is asked for by https.
    path = "/.well-known/acme-challenge/a/b"
    for place in places(certified):
        asked = http.client.HTTPConnection(literal(place), timeout=10)
        asked.request("GET", path)
        redirect = asked.getresponse()
        assert (redirect.status, redirect.headers["Location"]) == (301, f"https://{literal(place)}{path}")


def test_it_is_renewed_without_a_reload(certified: Cluster, ca: CertificateAuthority) -> None:
    before = {balancer: started(certified, balancer) for balancer in ("lb1", "lb2")}
    browser = Browser(certified, ca.trusting())
    old = visit(places(certified)[0], browser.trust).certificate
    with browser.asking():

        def another() -> bool:
            return visit(places(certified)[0], browser.trust).certificate != old

        wait_for("it is renewed", another, SECONDS)
        both_serve_one(certified, ca, old)
    assert browser.failures == [] and browser.answers > 10
    assert {balancer: started(certified, balancer) for balancer in before} == before
    assert problems(certified) == []


def test_a_restart_of_haproxy_keeps_it(certified: Cluster, ca: CertificateAuthority) -> None:
    _, spare = balancers(certified)
    served = visit(certified.address(spare), ca.trusting()).certificate
    certified.ssh(spare, "systemctl restart haproxy")
    again = wait_for("it answers", lambda: visit(certified.address(spare), ca.trusting()), 20)
    assert again.certificate == served


def test_a_failover_in_the_middle_of_an_issue_breaks_nothing(certified: Cluster, ca: CertificateAuthority) -> None:
    ca.stop()
    # It looks some seconds after it was asked to.
    ca.start(PEBBLE_VA_NOSLEEP="0", PEBBLE_VA_SLEEPTIME="15")
    active, spare = balancers(certified)
    for balancer in (active, spare):
        certified.ssh(balancer, f"touch {DUE}")
    certified.ssh(active, "systemctl start --no-block php-cluster-certificate")
    # Before it looks, it sleeps.
    wait_for("the CA was asked", lambda: "Sleeping for" in ca.log(), 60)
    certified.lab_command("power-off", active)
    try:
        wait_for("the other one has the address", lambda: certified.owners_of_floating_ip() == [spare], 30)
        trust = ca.trusting()
        wait_for("it asks in its turn", lambda: visit(places(certified)[0], trust).status == 200, 180)
        assert (
            not RELEASE.quic or by_http3(certified, places(certified)[0], "--output /dev/null --write-out ok") == "ok"
        )
    finally:
        certified.lab_command("restore", active)
    # That one comes back with the one of before, and takes the new one.
    both_serve_one(certified, ca)
    wait_for("nothing is wrong any more", lambda: problems(certified) == [], 120, 2)


def test_without_its_ca_the_site_goes_on(certified: Cluster, ca: CertificateAuthority) -> None:
    trust = ca.trusting()
    ca.stop()
    active, _ = balancers(certified)
    certified.ssh(active, f"touch {DUE}")
    assert "connection refused" in certified.ssh(active, ASKS_NOW, check=False)
    [problem] = problems(certified)
    assert problem.startswith(f"{active} got no certificate at {time.strftime('%Y-%m-%d ')}")
    assert "connection refused" in problem and f"{active} {ASKS_NOW}" in problem
    assert visit(places(certified)[0], trust).status == 200
    ca.start()
    # It comes back without what it knew: the account is made again.
    certified.ssh(active, ASKS_NOW)
    both_serve_one(certified, ca)
    assert problems(certified) == []


def test_a_name_that_leads_elsewhere_is_said(certified: Cluster, ca: CertificateAuthority) -> None:
    trust = ca.trusting()
    certified.configure({"acme.alternativeNames[0]": OTHER_NAME})
    with ca.unknown(OTHER_NAME):
        said = certified.up()
        assert f"no new certificate of {NAME} {OTHER_NAME} yet: " in said
        assert f"[{OTHER_NAME}] acme: error" in said
        active, _ = balancers(certified)
        [problem] = [each for each in problems(certified) if OTHER_NAME in each]
        assert problem.startswith(f"{active} got no certificate at ")
        # What it had, it has.
        assert visit(places(certified)[0], trust).status == 200
    certified.ssh(active, ASKS_NOW)
    both_serve_one(certified, ca)
    assert problems(certified) == []


def test_it_leaves_nothing_behind(certified: Cluster) -> None:
    for key in ("acme", "hsts", *(["http3"] if RELEASE.quic else [])):
        certified.pulumi("config", "rm", key, "--stack", certified.name)
    certified.up()
    assert Visitor(f"http://{places(certified)[0]}/").visit()["counter"] == 1
    for balancer in ("lb1", "lb2"):
        left = certified.enter(balancer, "ls /etc/haproxy /etc/php-cluster /usr/lib/php-cluster /etc/systemd/system")
        assert "acme" not in left and "certificate" not in left
        assert ":443 " not in certified.enter(balancer, "ss --udp --listening --numeric")
    certified.pulumi("preview", "--expect-no-changes", "--stack", certified.name)
