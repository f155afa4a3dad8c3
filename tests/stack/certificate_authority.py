"""A CA for tests: pebble, which Let's Encrypt tests its clients with, and a name server of its own."""

import contextlib
import datetime
import ipaddress
import json
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.stack.cluster import wait_for

_PORT, _MANAGEMENT_PORT, _NAMES_PORT, _NAMES_MANAGEMENT_PORT = 14000, 15000, 8053, 8055


@dataclass
class CertificateAuthority:
    """Both on one address of this box, which the machines reach.

    Attributes:
        folder: For its files.
        address: Of this box.
        names_lead_to: The address of each name.
        seconds: How long a certificate holds.
    """

    folder: Path
    address: str
    names_lead_to: str
    seconds: int
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def directory(self) -> str:
        return f"https://{self.address}:{_PORT}/dir"

    @property
    def own_certificate(self) -> Path:
        """Of the CA's web server: who asks has to trust it."""
        return self.folder / "server.pem"

    def trusting(self) -> ssl.SSLContext:
        """What a browser has that trusts this CA, and nobody else."""
        with urllib.request.urlopen(
            f"https://{self.address}:{_MANAGEMENT_PORT}/roots/0",
            context=ssl.create_default_context(cafile=self.own_certificate),
        ) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())

    def start(self, **environment: str) -> None:
        """Makes a CA anew: it knows of no account and has another root."""
        if not self.own_certificate.exists():
            self._certify_itself()
        settings = {
            "listenAddress": f"{self.address}:{_PORT}",
            "managementListenAddress": f"{self.address}:{_MANAGEMENT_PORT}",
            "certificate": str(self.own_certificate),
            "privateKey": str(self.folder / "server.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "keyAlgorithm": "ecdsa",
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "for tests", "validityPeriod": self.seconds}},
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        resolver = f"{self.address}:{_NAMES_PORT}"
        self._run(
            "pebble-challtestsrv",
            *("-dnsserver", resolver, "-management", f"{self.address}:{_NAMES_MANAGEMENT_PORT}"),
            *("-defaultIPv4", self.names_lead_to, "-defaultIPv6", ""),
            *("-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""),
            environment={},
        )
        # It looks anew each time, as one does that has last looked weeks ago.
        known = {"PEBBLE_AUTHZREUSE": "0", "PEBBLE_VA_NOSLEEP": "1"}
        self._run(
            "pebble",
            *("-config", str(self.folder / "pebble.json"), "-dnsserver", resolver),
            environment=known | environment,
        )
        wait_for("the CA answers", self.trusting, 20)

    def stop(self) -> None:
        while self._running:
            process = self._running.pop()
            process.terminate()
            process.wait()

    @contextlib.contextmanager
    def unknown(self, name: str) -> Iterator[None]:
        """Meanwhile the name server has no answer for a name."""
        self._tell_names("set-servfail", name)
        yield
        self._tell_names("clear-servfail", name)

    def log(self) -> str:
        """What the CA has said since its start."""
        return (self.folder / "pebble.log").read_text()

    def _tell_names(self, what: str, name: str) -> None:
        data = json.dumps({"host": name}).encode()
        with urllib.request.urlopen(f"http://{self.address}:{_NAMES_MANAGEMENT_PORT}/{what}", data) as answer:
            assert answer.status == 200

    def _run(self, program: str, *arguments: str, environment: Mapping[str, Any]) -> None:
        path = shutil.which(program)
        assert path, f"{program} is missing: scripts/toolchain/setup dev --for-tests"
        with (self.folder / f"{program}.log").open("wb") as log:
            self._running.append(
                subprocess.Popen([path, *arguments], cwd=self.folder, env=dict(environment), stdout=log, stderr=log)
            )

    def _certify_itself(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the CA's web server")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        (self.folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.own_certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
