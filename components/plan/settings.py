"""Every config key, typed and checked before any resource exists. No look at the box, no Pulumi engine.

`Pulumi.yaml` declares the keys, their types and defaults; this module knows what a value must be beyond its type, and
asks each substrate about the keys that are its own. All wrong keys are reported at once, each with its value, the rule
and a value that works.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from components.plan import volume_options
from components.plan.acme_settings import HOST_NAME, HOST_NAME_RULE, AcmeSettings, read_acme
from components.plan.application_settings import ApplicationSettings, read_application
from components.plan.config_values import (
    NAMESPACE,
    ConfigError,
    Reader,
    address,
    address6,
    any_network,
    integer,
    list_of,
    matching,
    not_empty,
    one_of,
    optional,
    optional_switch,
    private_network,
    switch,
    text,
    text_as_is,
)
from components.plan.debian import RELEASES, Release
from components.plan.limits import Limits, read_limits
from components.plan.path_patterns import pattern_text
from components.plan.shared_paths import SharedPaths, read_shared_paths
from components.plan.topology import MAX_PHP_NODES, Profile, SessionStore

MAX_HSTS_SECONDS = 2 * 366 * 24 * 3600
"""Two years is what lists of preloaded sites ask for at most."""

AUTO = "auto"
"""Instead of `floatingIp6`: the substrate chooses the address."""

PROJECT_FOLDER = Path(__file__).parent.parent.parent

_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/%?=&-]*")
_MACHINE_OR_NONE = re.compile(r"(lb[12]|php[1-9][0-9]?)?")
_INI_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)*")
_OPTION_VALUE = re.compile(r"[A-Za-z0-9._%+-]+")
_RESERVED_INI = {
    "session.save_handler": "the profile decides it",
    "session.save_path": "the profile decides it",
    "session.serialize_handler": "sessions of either profile must be readable for the other",
}

_PROFILE_RULE = f"one of {', '.join(profile.value for profile in Profile)}"
_NETWORK_RULE = "an IPv4 network in CIDR notation without host bits"
_ADDRESS6_RULE = f"`{AUTO}` on `local`; on `existing` an IPv6 address, global or of the site's own (fc00::/7)"
_PACKAGES_RULE = "a list of Debian package names"
_METRICS_RULE = "a list of IPv4 networks in CIDR notation without host bits, and not the whole world"
_PROXIES_RULE = "a list of networks in CIDR notation without host bits, and not the whole world"
_PATTERNS_RULE = "a list of patterns as in .gitignore, without blanks, quotes or backslashes"
_URL_PATH_RULE = "the path of a page: a slash, then letters, digits and -._~/%?=&"
_INI_RULE = "a map of ini names to single-line values without quotes; not " + ", ".join(
    f"{name} ({why})" for name, why in _RESERVED_INI.items()
)
_VOLUME_OPTIONS_RULE = (
    "a map of options of Gluster (client, cluster, diagnostics, network, performance, server, storage) to plain "
    f"values; {' and '.join(volume_options.TLS_OPTIONS)} are set by glusterTls, and profile safe keeps "
    f"{', '.join(sorted(volume_options.RESERVED))} as they are"
)


@dataclass(frozen=True)
class Settings:
    """Checked settings; Pulumi.yaml describes each. What only one substrate asks for, it keeps itself."""

    php_nodes: int
    profile: Profile
    network: str | None
    floating_ip: str | None
    floating_ip6: str | None
    site_name: str | None
    tls_certificate: str | None
    tls_key: str | None
    acme: AcmeSettings | None
    hsts_seconds: int
    http3: bool
    trusted_proxies: tuple[str, ...]
    proxy_protocol: bool
    limits: Limits
    deny_paths: tuple[str, ...]
    app_dir: Path
    app_exclude: tuple[str, ...]
    app_max_mib: int
    application: ApplicationSettings
    shared: SharedPaths
    health_path: str
    php_settings: Mapping[str, str]
    php_workers: int
    request_seconds: int
    protect: bool | None
    debian: Release | None
    upgrading: str
    log_days: int
    time_servers: tuple[str, ...]
    metrics_from: tuple[str, ...]
    extra_packages: tuple[str, ...]
    brick_gib: int
    volume_options: Mapping[str, str]
    gluster_tls: bool
    session_store: SessionStore

    @property
    def tls(self) -> bool:
        """Whether the balancers speak TLS with visitors."""
        return self.tls_certificate is not None or self.acme is not None


class SubstrateSettings(Protocol):
    """What a substrate has to say of the config (components/substrates/registry.py has the whole of a substrate).

    Attributes:
        KEYS: The keys that are its own, each with its default.
    """

    KEYS: Mapping[str, Any]

    def __init__(self, reader: Reader, *, chosen: bool) -> None:
        """Reads and keeps its own keys; what is wrong is noted, whether or not it is the chosen one."""

    def check(self, reader: Reader, settings: Settings, secret_keys: Collection[str]) -> None:
        """Notes what breaks its rules about several keys at once; asked of the chosen one only."""


S = TypeVar("S", bound=SubstrateSettings)


def known_keys(substrates: Mapping[str, type[SubstrateSettings]]) -> dict[str, Any]:
    """Each key that there is, with its default."""
    of_substrates = {key: default for each in substrates.values() for key, default in each.KEYS.items()}
    return of_substrates | declared_defaults()


def declared_defaults() -> dict[str, Any]:
    """Each key that Pulumi.yaml declares, with its default."""
    project = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())
    return {key: declaration["default"] for key, declaration in project["config"].items()}


def _ini(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    result = {}
    for name, setting in value.items():
        text = ("on" if setting else "off") if isinstance(setting, bool) else str(setting)
        if not _INI_NAME.fullmatch(name) or name in _RESERVED_INI or isinstance(setting, (dict, list)):
            raise ValueError
        if any(character in text for character in '"\n\r\0'):
            raise ValueError
        result[name] = text
    return result


def _volume_options(profile: Profile) -> Callable[[Any], Mapping[str, str]]:
    def parse(value: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise TypeError
        result = {}
        for name, setting in value.items():
            text = ("on" if setting else "off") if isinstance(setting, bool) else str(setting)
            if not volume_options.is_allowed(name, profile) or not _OPTION_VALUE.fullmatch(text):
                raise ValueError
            result[name] = text
        return result

    return parse


def _known_network(value: str) -> str:
    """An IPv4 network that is not the whole world."""
    return any_network(private_network(value))


def _read_session_store(reader: Reader) -> SessionStore:
    return reader.read("sessionStore", SessionStore, "files or log", "sessionStore files", SessionStore.FILES)


def _read_metrics(reader: Reader) -> tuple[str, ...]:
    """Checks the keys below `metrics`: who may ask for them."""
    example = "allowFrom[0] 198.18.5.0/24"
    below = reader.below("metrics", {"allowFrom": []}, example=example)
    return below.read("allowFrom", list_of(_known_network), _METRICS_RULE, example, ())


def _read_floating_ip6(reader: Reader) -> str | None:
    def parse(value: str) -> str:
        return value if value == AUTO else address6(value)

    return reader.read("floatingIp6", optional(parse), _ADDRESS6_RULE, f"floatingIp6 {AUTO}", None)


def _read_pem(reader: Reader, key: str, example: str) -> str | None:
    return reader.read(key, optional(text_as_is), "PEM text", example, None)


def _read_hsts(reader: Reader) -> int:
    rule = f"a whole number from 0 to {MAX_HSTS_SECONDS}"
    return reader.read("hsts", integer(0, MAX_HSTS_SECONDS), rule, "hsts 31536000", 0)


def _read_time_servers(reader: Reader) -> tuple[str, ...]:
    """Checks the names or addresses of time servers."""
    rule = "a list of host names or IPv4 addresses"
    return reader.read("timeServers", list_of(matching(HOST_NAME)), rule, "--path 'timeServers[0]' ntp.example.org", ())


def _read_extra_packages(reader: Reader) -> tuple[str, ...]:
    """Checks which packages of Debian the site wants."""
    wanted = list_of(matching(_PACKAGE_NAME))
    return reader.read("extraPackages", wanted, _PACKAGES_RULE, "--path 'extraPackages[0]' php-mysql", ())


def _read_debian(reader: Reader) -> Release | None:
    """Checks which release new machines get. None: as the stack has it."""
    rule = f"one of {', '.join(map(str, RELEASES))}"
    return reader.read(
        "debian", lambda value: None if value == "" else RELEASES[integer(1, 99)(value)], rule, "debian 13", None
    )


def _read_upgrading(reader: Reader) -> str:
    """Checks which machine is replaced now, if any."""
    rule = "empty, or a machine's name as lb2 or php1"
    return reader.read("upgrading", matching(_MACHINE_OR_NONE), rule, "upgrading php2", "")


def refuse_upgrading(reader: Reader, settings: Settings) -> None:
    """Notes `upgrading` where the program makes no machine anew: there it would do nothing, in silence."""
    if settings.upgrading:
        reader.problems.append(
            f"{NAMESPACE}:upgrading is {settings.upgrading}\n"
            "    Only local machines are replaced by ones with another release of Debian. scripts/upgrade brings\n"
            "    these to the newest packages of theirs; scripts/restore fills a new stack from a backup.\n"
            "    Remove it: pulumi config rm upgrading"
        )


def _app_dir(value: Any) -> Path:
    folder = PROJECT_FOLDER / text(value)
    if not value or not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise ValueError
    return folder


def _check_tls(reader: Reader, settings: Settings, secret_keys: Collection[str]) -> None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if key and "tlsKey" not in secret_keys:
        reader.refuse("tlsKey", "stored as a secret", "--secret tlsKey < key.pem")
    if bool(certificate) != bool(key):
        lacking = "tlsKey" if certificate else "tlsCertificate"
        secret = "--secret " if certificate else ""
        reader.refuse(lacking, "set when its other half is", f"{secret}{lacking} < {lacking}.pem")
        return
    if not certificate or not key:
        return
    try:
        public = x509.load_pem_x509_certificates(certificate.encode())[0].public_key()
    except (ValueError, IndexError):
        reader.refuse(
            "tlsCertificate", "a certificate chain in PEM, the site's own first", "tlsCertificate < chain.pem"
        )
        return
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        reader.refuse("tlsKey", "a private key in PEM without a passphrase", "--secret tlsKey < key.pem")
        return
    if private.public_key() != public:
        reader.refuse("tlsKey", "the key of tlsCertificate", "--secret tlsKey < key.pem")


def _check_acme(reader: Reader, settings: Settings) -> None:
    if settings.acme is None:
        return
    if not settings.site_name:
        reader.refuse("siteName", "set when acme.email is: a CA certifies names", "siteName www.example.org")
    for own in ("tlsCertificate", "tlsKey"):
        if reader.values[own]:
            reader.refuse(
                own,
                "empty when acme.email is set: the certificate is either your own or a CA's",
                f"{own} ''",
                shown="set",
            )


def _check_hsts(reader: Reader, settings: Settings) -> None:
    if settings.hsts_seconds and not settings.tls and not settings.trusted_proxies:
        reader.refuse("hsts", "0, or visitors need a way by https: acme.email, tlsCertificate, or a proxy's", "hsts 0")


def _check_http3(reader: Reader, settings: Settings) -> None:
    if settings.http3 and not settings.tls:
        reader.refuse("http3", "false without a certificate: acme.email, or tlsCertificate and tlsKey", "http3 false")
    if settings.http3 and settings.proxy_protocol:
        reader.refuse("http3", "false with proxyProtocol, which no QUIC connection can begin with", "http3 false")


def _check_folders(reader: Reader, settings: Settings) -> None:
    """What each release has of its own, and what all of them share, lie apart."""
    for writable in map(PurePosixPath, settings.application.writable_dirs):
        for shared in map(PurePosixPath, settings.shared.links):
            if writable.is_relative_to(shared) or shared.is_relative_to(writable):
                reader.refuse(
                    "writableDirs",
                    f"folders apart from what sharedDirs and sharedFiles name, but {writable} and {shared} are not",
                    "--path 'writableDirs[0]' var/cache",
                )


def _check_session_store(reader: Reader, settings: Settings) -> None:
    if settings.session_store is SessionStore.LOG and settings.profile is not Profile.SAFE:
        reader.refuse(
            "sessionStore", "files with profile article, which is the recipe as printed", "sessionStore files"
        )
    if settings.session_store is SessionStore.LOG and settings.gluster_tls:
        # The services' own connections are not encrypted.
        reader.refuse("sessionStore", "files where glusterTls is true", "sessionStore files")


def read_settings(
    values: Mapping[str, Any], secret_keys: Collection[str], substrates: Mapping[str, type[S]]
) -> tuple[Settings, S]:
    """Checks the config values of this project's namespace.

    Args:
        values: Key (without namespace) to value, as Pulumi stores it; what is absent takes its declared default.
        secret_keys: The keys that are stored as secrets.
        substrates: What `substrate` may be, by name.

    Returns:
        The settings of all substrates, and the chosen substrate, which has its own.

    Raises:
        ConfigError: with every wrong key at once.
    """
    defaults = known_keys(substrates)
    reader = Reader(values, defaults)
    chosen = reader.read(
        "substrate", one_of(substrates), f"one of {', '.join(sorted(substrates))}", "substrate local", "local"
    )
    # Before the other keys: as many machines as there are may be the default for the number of nodes.
    substrate = {name: each(reader, chosen=name == chosen) for name, each in substrates.items()}[chosen]
    settings = _read_all(reader, defaults)
    substrate.check(reader, settings, secret_keys)
    _check_tls(reader, settings, secret_keys)
    _check_acme(reader, settings)
    _check_hsts(reader, settings)
    _check_http3(reader, settings)
    _check_folders(reader, settings)
    _check_session_store(reader, settings)
    if settings.proxy_protocol and not settings.trusted_proxies:
        reader.refuse(
            "proxyProtocol",
            "false, or trustedProxies must name those who speak it",
            "--path 'trustedProxies[0]' 203.0.113.0/24",
        )
    if reader.problems:
        count = len(reader.problems)
        heading = "1 config key needs" if count == 1 else f"{count} config keys need"
        raise ConfigError(f"{heading} another value; nothing was changed.\n\n" + "\n\n".join(reader.problems))
    return settings, substrate


def _read_all(reader: Reader, defaults: Mapping[str, Any]) -> Settings:
    """Reads each key that every substrate has."""
    profile = reader.read("profile", Profile, _PROFILE_RULE, "profile safe", Profile.SAFE)
    app_dir = reader.read(
        "appDir", _app_dir, f"a readable folder, relative to {PROJECT_FOLDER}", "appDir app", PROJECT_FOLDER / "app"
    )
    return Settings(
        php_nodes=reader.read(
            "phpNodes", integer(1, MAX_PHP_NODES), f"a whole number from 1 to {MAX_PHP_NODES}", "phpNodes 2", 1
        ),
        profile=profile,
        network=reader.read("network", optional(private_network), _NETWORK_RULE, "network 198.18.5.0/24", None),
        floating_ip=reader.read("floatingIp", optional(address), "an IPv4 address", "floatingIp 198.18.5.10", None),
        floating_ip6=_read_floating_ip6(reader),
        site_name=reader.read(
            "siteName", optional(matching(HOST_NAME)), HOST_NAME_RULE, "siteName www.example.org", None
        ),
        tls_certificate=_read_pem(reader, "tlsCertificate", "tlsCertificate < chain.pem"),
        tls_key=_read_pem(reader, "tlsKey", "--secret tlsKey < key.pem"),
        acme=read_acme(reader),
        hsts_seconds=_read_hsts(reader),
        http3=reader.read("http3", switch, "true or false", "http3 true", False),
        trusted_proxies=reader.read(
            "trustedProxies", list_of(any_network), _PROXIES_RULE, "--path 'trustedProxies[0]' 203.0.113.0/24", ()
        ),
        proxy_protocol=reader.read("proxyProtocol", switch, "true or false", "proxyProtocol true", False),
        limits=read_limits(reader),
        deny_paths=reader.read("denyPaths", list_of(pattern_text), _PATTERNS_RULE, "--path 'denyPaths[0]' /data/", ()),
        app_dir=app_dir,
        app_exclude=reader.read(
            "appExclude", list_of(not_empty), "a list of shell patterns", "--path 'appExclude[0]' '*.log'", ()
        ),
        app_max_mib=reader.read("appMaxMiB", integer(1, 1024), "a whole number from 1 to 1024", "appMaxMiB 64", 64),
        application=read_application(reader, defaults, app_dir),
        # No folder that visitors see may be shared as a whole; where it is, another key may say.
        shared=read_shared_paths(reader, str(reader.values.get("webRoot", ""))),
        health_path=reader.read("healthPath", matching(_URL_PATH), _URL_PATH_RULE, "healthPath /health.php", "/"),
        php_settings=reader.read("phpSettings", _ini, _INI_RULE, "--path phpSettings.memory_limit 256M", {}),
        php_workers=reader.read("phpWorkers", integer(1, 256), "a whole number from 1 to 256", "phpWorkers 8", 8),
        request_seconds=reader.read(
            "requestSeconds", integer(1, 3600), "a whole number from 1 to 3600", "requestSeconds 60", 60
        ),
        protect=reader.read("protect", optional_switch, "true or false", "protect false", None),
        debian=_read_debian(reader),
        upgrading=_read_upgrading(reader),
        metrics_from=_read_metrics(reader),
        time_servers=_read_time_servers(reader),
        log_days=reader.read("logDays", integer(1, 365), "a whole number from 1 to 365", "logDays 14", 14),
        extra_packages=_read_extra_packages(reader),
        brick_gib=reader.read("brickGiB", integer(1, 1024), "a whole number from 1 to 1024", "brickGiB 2", 2),
        volume_options=reader.read(
            "volumeOptions",
            _volume_options(profile),
            _VOLUME_OPTIONS_RULE,
            "--path 'volumeOptions[\"performance.cache-size\"]' 64MB",
            {},
        ),
        gluster_tls=reader.read("glusterTls", switch, "true or false", "glusterTls true", False),
        session_store=_read_session_store(reader),
    )
