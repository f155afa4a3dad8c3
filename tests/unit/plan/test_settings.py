"""Config keys: what is accepted, and what the refusal of a wrong one says."""

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from components.plan.acme_settings import LETS_ENCRYPT, AcmeSettings
from components.plan.config_values import ConfigError, address6, optional
from components.plan.limits import Limits
from components.plan.settings import PROJECT_FOLDER
from components.plan.topology import Profile
from tests.unit.settings import read_settings


def refusal(values: dict[str, Any], secret_keys: frozenset[str] = frozenset()) -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings(values, secret_keys)
    return str(caught.value)


def self_signed() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, SHA256())
    )
    pem_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), pem_key.decode()


def test_defaults_are_a_working_configuration() -> None:
    settings = read_settings({})
    assert (settings.php_nodes, settings.profile) == (2, Profile.SAFE)
    assert settings.network is None and settings.tls_key is None
    assert settings.app_dir == PROJECT_FOLDER / "app"


def test_every_key_is_described() -> None:
    project = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())
    for key, declaration in project["config"].items():
        assert declaration["description"].endswith("."), key
        assert "type" in declaration and "default" in declaration, key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("substrate", "azure"),
        ("image", "golden"),
        ("phpNodes", 0),
        ("phpNodes", 65),
        ("phpNodes", "two"),
        ("phpNodes", 2.5),
        ("phpNodes", True),
        ("profile", "fast"),
        ("network", "198.18.5.0"),
        ("network", "198.18.5.1/24"),
        ("network", "fd00::/64"),
        ("network", "198.18.5.0/28"),
        ("floatingIp", "198.18.5.300"),
        ("floatingIp", "198.18.5.10"),
        ("floatingIp6", "198.18.5.10"),
        ("floatingIp6", "2001:db8::10"),
        ("floatingIp6", "yes"),
        ("siteName", "under_score.example"),
        ("siteName", "-www.example.org"),
        ("siteName", "a" * 64 + ".org"),
        ("appDir", "no/such/folder"),
        ("appDir", ""),
        ("appDir", "docs"),
        ("appExclude", "*.log"),
        ("appExclude", [""]),
        ("appMaxMiB", 0),
        ("hsts", -1),
        ("hsts", 86400),
        ("trustedProxies", "203.0.113.0/24"),
        ("trustedProxies", ["203.0.113.7"]),
        ("trustedProxies", ["203.0.113.7/24"]),
        ("trustedProxies", ["0.0.0.0/0"]),
        ("http3", "on"),
        ("http3", True),
        ("proxyProtocol", "yes"),
        ("proxyProtocol", True),
        ("denyPaths", ["a b"]),
        ("denyPaths", "*.sql"),
        ("denyPaths", ["/"]),
        ("phpSettings", ["memory_limit=1G"]),
        ("phpSettings", {"memory limit": "1G"}),
        ("phpSettings", {"session.save_path": "/tmp"}),
        ("phpSettings", {"memory_limit": "1G\nextension=evil"}),
        ("phpSettings", {"memory_limit": {"a": 1}}),
        ("phpWorkers", 257),
        ("extraPackages", ["php-mysql; reboot"]),
        ("extraPackages", "php-mysql"),
        ("brickGiB", 0),
        ("requestSeconds", 0),
        ("requestSeconds", "60s"),
        ("logDays", 0),
        ("timeServers", "ntp.example.org"),
        ("timeServers", ["ntp.example.org iburst"]),
        ("protect", "yes"),
        ("upgrading", "lb3"),
        ("volumeOptions", ["performance.cache-size"]),
        ("volumeOptions", {"performance.write-behind": "on"}),
        ("volumeOptions", {"network.ping-timeout": 42}),
        ("volumeOptions", {"auth.allow": "*"}),
        ("volumeOptions", {"performance.cache-size": "64MB\nauth.allow *"}),
        ("volumeOptions", {"performance.cache-size": {"a": 1}}),
        ("volumeOptions", {"server.ssl": "on"}),
        ("glusterTls", "yes"),
        ("glusterTls", 1),
        ("glusterTls", ""),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    said = refusal({key: value})
    assert f"php-cluster:{key} is" in said
    assert "Example: pulumi config set" in said
    assert "1 config key needs another value" in said


@pytest.mark.parametrize(
    "networks", [["0.0.0.0/0"], ["198.18.5.7/24"], ["2001:db8::/32"], ["198.18.5.7"], "198.18.5.0/24"]
)
def test_metrics_are_for_known_networks(networks: Any) -> None:
    said = refusal({"metrics": {"allowFrom": networks}})
    assert "php-cluster:metrics.allowFrom is" in said
    assert "Example: pulumi config set --path 'metrics.allowFrom[0]' 198.18.5.0/24" in said
    assert "metrics.from is no key" in refusal({"metrics": {"from": ["198.18.5.0/24"]}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("requestsPerSecond", 0),
        ("requestsPerSecond", "many"),
        ("sessionsPerSecond", -1),
        ("connections", 100_000),
        ("requestsAtOnce", ""),
        ("requestsAtOnce", True),
        ("exempt", ["0.0.0.0/0"]),
        ("exempt", ["::/0"]),
        ("exempt", "203.0.113.0/28"),
    ],
)
def test_a_wrong_limit_is_named(key: str, value: Any) -> None:
    said = refusal({"limits": {key: value}})
    assert f"php-cluster:limits.{key} is" in said and "1 config key needs another value" in said
    assert f"Example: pulumi config set --path 'limits.{key}" in said


def test_limits_have_defaults_each() -> None:
    assert read_settings({}).limits == Limits()
    assert read_settings({"limits": {"connections": "500"}}).limits == Limits(connections=500)
    office: dict[str, Any] = {"exempt": ["203.0.113.0/28", "2001:db8:5::/48"], "requestsAtOnce": 30}
    assert read_settings({"limits": office}).limits == Limits(exempt=tuple(office["exempt"]), requests_at_once=30)
    assert "limits.perSource is no key" in refusal({"limits": {"perSource": 1}})


def test_options_of_the_volume_are_the_stack_s_own_business_in_the_article_s_profile() -> None:
    settings = read_settings({"profile": "article", "volumeOptions": {"network.ping-timeout": 10}})
    assert settings.volume_options == {"network.ping-timeout": "10"}


def test_examples_are_accepted() -> None:
    """What a refusal suggests must work: each `key value` example is tried."""
    wrong = {"phpNodes": 0, "profile": "x", "network": "x", "siteName": "_", "appDir": "", "appMaxMiB": 0}
    wrong |= {"phpWorkers": 0, "brickGiB": 0, "requestSeconds": 0, "substrate": "x", "image": "x", "glusterTls": "x"}
    examples = [line.split() for line in refusal(wrong).splitlines() if "Example:" in line]
    assert len(examples) == len(wrong)
    read_settings({words[4]: words[5] for words in examples})


def test_all_wrong_keys_at_once() -> None:
    said = refusal({"phpNodes": 0, "profile": "fast", "brickGiB": -1, "phpNods": 3})
    for key in ("phpNodes", "profile", "brickGiB", "phpNods"):
        assert f"php-cluster:{key} is" in said
    assert said.startswith("4 config keys need another value; nothing was changed.")


@pytest.mark.parametrize(
    ("wrong", "right"), [("phpNods", "phpNodes"), ("php_nodes", "phpNodes"), ("floatingip", "floatingIp")]
)
def test_an_unknown_key_gets_the_nearest(wrong: str, right: str) -> None:
    assert f"Did you mean {right}?" in refusal({wrong: "1"})


def test_network_must_hold_all_nodes() -> None:
    said = refusal({"network": "198.18.5.0/26", "phpNodes": 64})
    assert "at least 86 addresses (a /25)" in said
    read_settings({"network": "198.18.5.0/25", "phpNodes": 64})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2001:DB8:0::10", "2001:db8::10"),
        ("fd00:5::10", "fd00:5::10"),
        ("", None),
        *((value, ValueError) for value in ("fe80::1", "ff02::1", "::1", "::", "::ffff:192.0.2.1")),
        *((value, ValueError) for value in ("fd00::1%eth0", "2001:db8::/64", "192.0.2.1", "2001:db8::10/64")),
    ],
)
def test_an_ipv6_address_is_one_that_visitors_reach(value: str, found: Any) -> None:
    if isinstance(found, type):
        with pytest.raises(found):
            optional(address6)(value)
    else:
        assert optional(address6)(value) == found


def test_floating_ip_must_be_free() -> None:
    assert "is the address of lb1" in refusal({"network": "198.18.5.0/24", "floatingIp": "198.18.5.11"})
    assert read_settings({"network": "198.18.5.0/24", "floatingIp": "198.18.5.99"}).floating_ip == "198.18.5.99"


def test_numbers_may_be_text() -> None:
    assert read_settings({"phpNodes": "64"}).php_nodes == 64


def test_a_switch_may_be_text() -> None:
    assert read_settings({"glusterTls": "true"}).gluster_tls and read_settings({"glusterTls": True}).gluster_tls
    assert not read_settings({"glusterTls": "false"}).gluster_tls and not read_settings({}).gluster_tls


def test_php_settings_take_switches_and_numbers() -> None:
    settings = read_settings({"phpSettings": {"display_errors": False, "max_input_vars": 3000, "opcache.enable": True}})
    assert settings.php_settings == {"display_errors": "off", "max_input_vars": "3000", "opcache.enable": "on"}


def test_app_dir_may_be_anywhere(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    assert read_settings({"appDir": str(tmp_path)}).app_dir == tmp_path


def test_tls_needs_both_halves_that_match() -> None:
    certificate, key = self_signed()
    _, other_key = self_signed()
    secret = frozenset({"tlsKey"})
    assert read_settings({"tlsCertificate": certificate, "tlsKey": key}, secret).tls_key == key
    assert "php-cluster:tlsKey" in refusal({"tlsCertificate": certificate})
    assert "php-cluster:tlsCertificate" in refusal({"tlsKey": key}, secret)
    assert "the key of tlsCertificate" in refusal({"tlsCertificate": certificate, "tlsKey": other_key}, secret)
    assert "a private key in PEM" in refusal({"tlsCertificate": certificate, "tlsKey": "x"}, secret)
    assert "a certificate chain in PEM" in refusal({"tlsCertificate": "x", "tlsKey": key}, secret)


ACME = {"email": "admin@example.org"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("email", "admin"),
        ("email", "admin@example"),
        ("email", "'; reboot #@example.org"),
        ("directory", "http://ca.example.org/directory"),
        ("directory", "https://ca.example.org/$(reboot)"),
        ("alternativeNames", "example.org"),
        ("alternativeNames", ["*.example.org"]),
        ("contact", "admin@example.org"),
    ],
)
def test_a_ca_is_asked_for_what_it_can_certify(key: str, value: Any) -> None:
    assert f"php-cluster:acme.{key} is" in refusal({"siteName": "www.example.org", "acme": {**ACME, key: value}})


def test_a_ca_needs_a_name_and_no_other_certificate() -> None:
    settings = read_settings({"siteName": "www.example.org", "acme": ACME, "hsts": 300})
    assert settings.acme == AcmeSettings("admin@example.org", LETS_ENCRYPT, ()) and settings.tls
    assert "php-cluster:siteName is" in refusal({"acme": ACME})
    assert "php-cluster:acme.email is" in refusal({"acme": {"alternativeNames": ["example.org"]}})
    certificate, key = self_signed()
    said = refusal(
        {"siteName": "www.example.org", "acme": ACME, "tlsCertificate": certificate, "tlsKey": key},
        frozenset({"tlsKey"}),
    )
    assert "php-cluster:tlsCertificate is" in said and "php-cluster:tlsKey is [secret]" in said
    assert said.count("empty when acme.email is set") == 2


def test_http3_needs_a_certificate_and_visitors_themselves() -> None:
    asked = {"siteName": "www.example.org", "acme": ACME, "http3": True}
    assert read_settings(asked).http3 and not read_settings({}).http3
    assert "acme.email, or tlsCertificate" in refusal({"http3": True})
    proxies = {"trustedProxies": ["203.0.113.0/24"]}
    assert read_settings(asked | proxies).http3
    assert "php-cluster:http3 is true\n    It must be false with proxyProtocol" in refusal(
        asked | proxies | {"proxyProtocol": True}
    )


def test_hsts_needs_a_way_by_https() -> None:
    assert not read_settings({}).tls
    assert read_settings({"hsts": 300, "trustedProxies": ["203.0.113.0/24"]}).hsts_seconds == 300


def test_a_key_is_never_shown() -> None:
    certificate, key = self_signed()
    said = refusal({"tlsCertificate": certificate, "tlsKey": key})
    assert "stored as a secret" in said
    assert key.splitlines()[1] not in said
