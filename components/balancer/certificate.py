"""The certificate of a CA (RFC 8555) that the balancers ask for, share and renew by themselves.

Both have the same two keys, made of one secret in the stack's state. So either answers the CA's challenges without
having heard of them, and the one that has not asked needs of the other only what is public: the certificate.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random as random
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from components.plan.acme_settings import AcmeSettings
from components.plan.settings import Settings
from components.plan.topology import Topology
from components.steps.host import Host
from components.steps.last_update import LastUpdate

ACME_PATH = "/etc/haproxy/acme.pem"
"""What HAProxy serves: the CA's certificate, or until there is one, another."""

_STEP = "certificate"
_ASKED = "certificate-asked"

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (FIPS 186-4, D.1.2.3); a private key is a number from 1 to one less."""


def private_key(secret: str, purpose: str) -> ec.EllipticCurvePrivateKey:
    """The key of P-256 that follows from a secret, another one for each purpose.

    64 bits more than the key has make the remainder as good as evenly distributed (FIPS 186-4, B.4.1).
    """
    drawn = HKDF(hashes.SHA256(), length=40, salt=None, info=f"php-cluster acme {purpose}".encode())
    number = int.from_bytes(drawn.derive(secret.encode()), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The key as `lego` reads it (SEC 1)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    """By which a CA knows the account of a key (RFC 7638)."""
    point = key.public_key().public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
    return _base64url(hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class AcmeCertificate:
    """A certificate that is asked for.

    Attributes:
        settings: Of which CA.
        names: What it is to certify.
        secret: What the account's key and the certificate's are made of.
    """

    settings: AcmeSettings
    names: Sequence[str]
    secret: pulumi.Output[str]

    @classmethod
    def of(cls, settings: Settings, *, parent: pulumi.Resource) -> AcmeCertificate | None:
        """That of the site, with a secret of its own; None where none is asked for."""
        if settings.acme is None or settings.site_name is None:
            return None
        # As many characters as 256 bits need, and some.
        password = random.RandomPassword(
            "acme-secret", length=48, special=False, opts=pulumi.ResourceOptions(parent=parent)
        )
        names = tuple(dict.fromkeys([settings.site_name, *settings.acme.alternative_names]))
        return cls(settings.acme, names, pulumi.Output.secret(password.result))

    @property
    def thumbprint(self) -> pulumi.Output[str]:
        """What ends every answer to a challenge."""
        return self.secret.apply(lambda secret: thumbprint(private_key(secret, "account")))

    def prepared(self, host: Host, plan: Topology, *, parent: pulumi.Resource) -> pulumi.Resource:
        """The step after which a balancer has something to serve, and looks after it each minute."""
        elastic = host.machine.elastic_ip
        [peer] = [balancer.address for balancer in plan.balancers if balancer != host.planned]
        return host.step(
            f"{host.name}-{_STEP}",
            "balancer/acme.sh",
            parent=parent,
            variables={
                "NAMES": " ".join(self.names),
                "EMAIL": self.settings.email,
                "DIRECTORY": self.settings.directory,
                "PEER": peer,
                "FLOATING_IP": elastic.local_address if elastic else plan.floating_ip or "",
                "CERTIFICATE_PATH": ACME_PATH,
                "ACCOUNT_KEY": self._key("account"),
                "CERTIFICATE_KEY": self._key("certificate"),
            },
            files={
                "PROGRAM": "balancer/acme-certificate",
                "CERTIFICATE_SERVICE": "balancer/acme.service",
                "CERTIFICATE_TIMER": "balancer/acme.timer",
            },
        )

    def asked(self, host: Host, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> None:
        """Has the balancer that holds the floating IP ask now, and say at once what the CA says."""
        host.step(
            f"{host.name}-{_ASKED}",
            "balancer/acme-asked.sh",
            parent=parent,
            # It runs again when something else is asked for.
            variables={"NAMES": " ".join(self.names), "DIRECTORY": self.settings.directory},
            after=after,
        )

    def _key(self, purpose: str) -> pulumi.Output[str]:
        return self.secret.apply(lambda secret: pem(private_key(secret, purpose)))


def certificate_left(
    host: Host, last: LastUpdate, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> None:
    """Has a balancer ask for nothing any more, if it did, `after` the steps since which it serves something else."""
    host.step_left(
        _STEP, "balancer/acme-leave.sh", last, parent=parent, variables={"CERTIFICATE_PATH": ACME_PATH}, after=after
    )
