"""What both balancers know, so that either can answer a CA; tests/stack has a CA ask them."""

import hashlib
import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from components.balancer.certificate import ACME_PATH, pem, private_key, thumbprint
from components.balancer.load_balancer import haproxy_configuration
from components.plan import topology
from components.plan.topology import Profile
from tests.unit.graph import SECRET, cluster_graph
from tests.unit.test_graph import revealed, steps

PLAN = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
ASKING: dict[str, Any] = {
    "acme": {"email": "admin@example.org", "alternativeNames": ["example.org"]},
    "siteName": "www.example.org",
}


def test_a_secret_makes_the_same_keys_each_time() -> None:
    key = private_key("a secret", "account")
    read = load_pem_private_key(pem(key).encode(), None)
    assert isinstance(read, ec.EllipticCurvePrivateKey) and read.private_numbers() == key.private_numbers()
    assert pem(private_key("a secret", "account")) == pem(key) != pem(private_key("a secret", "certificate"))
    # By which both, and all later versions of this program, are one account.
    assert hashlib.sha256(pem(key).encode()).hexdigest()[:16] == "600ac94b51f72029"


def test_a_thumbprint_is_that_of_its_key() -> None:
    # From a run of pebble, which told the answer that it wanted.
    key = ec.derive_private_key(123456789123456789123456789, ec.SECP256R1())
    assert thumbprint(key) == "wFDg8e_d8OK7OQ0LFWB7Qt1kGKux3b50M53bQku4hTA"


def haproxy(**values: Any) -> str:
    return haproxy_configuration(PLAN, 0, "hidden", tls=False, request_seconds=60, **values)


def test_a_challenge_is_answered_before_all_else() -> None:
    text = haproxy(acme_thumbprint="a-thumbprint", trusted_proxies=("198.18.0.0/15",), proxy_protocol=True)
    assert f"bind *:443 ssl crt {ACME_PATH}" in text
    places = [text.index(each) for each in ("acme-challenge", "redirect location https", "return status 503")]
    assert places == sorted(places)
    [pattern] = re.findall(r"path -m reg (\S+) }", text)
    assert re.search(pattern, "/.well-known/acme-challenge/aA-_9")
    for path in ("/.well-known/acme-challenge/", "/.well-known/acme-challenge/a/b", "/x/.well-known/acme-challenge/a"):
        assert not re.search(pattern, path), path
    # The other balancer asks for the certificate itself, whatever networks are trusted.
    assert "expect-proxy layer4 if from_proxy !{ src 198.18.7.12 }" in text
    assert "acme" not in haproxy()


def test_browsers_are_told_to_come_by_https_alone() -> None:
    assert "http-after-response set-header Strict-Transport-Security max-age=300 if " in haproxy(hsts_seconds=300)
    assert "Strict-Transport" not in haproxy()


def test_both_balancers_get_the_same_keys_and_each_other() -> None:
    graph = cluster_graph(phpNodes=2, **ASKING)
    texts = [str(revealed(graph[f"{name}-certificate"].inputs["stdin"])) for name in ("lb1", "lb2")]
    for purpose in ("account", "certificate"):
        assert all(pem(private_key(SECRET, purpose)) in text for text in texts)
    assert ["PEER=198.18.7.12" in text for text in texts] == [True, False]
    assert all("NAMES='www.example.org example.org'" in text for text in texts)
    # Nothing shows the secret, nor what is made of it.
    for name, node in graph.items():
        shown = json.dumps(node.inputs, default=str)
        assert "BEGIN EC" not in shown or name in {"lb1-certificate", "lb2-certificate"}, name


def test_a_cluster_that_asks_for_none_is_as_it_was() -> None:
    plain, asking = cluster_graph(phpNodes=2), cluster_graph(phpNodes=2, **ASKING)
    assert not [name for name in plain if "certificate" in name or "acme" in name]
    after = cluster_graph(phpNodes=2, known={name: {"stdin": ""} for name in steps(asking)})
    left = {"lb1-certificate-left", "lb2-certificate-left"}
    assert after.keys() == plain.keys() | left
    # It is served until HAProxy serves without it.
    assert all({"lb1-haproxy", "lb2-haproxy"} <= after[name].needs for name in left)
