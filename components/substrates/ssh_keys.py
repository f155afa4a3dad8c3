"""Ed25519 key pairs that stay the same.

OpenSSH pads and salts a private key file at random, so a key written again differs from run to run. Here the file is a
function of a secret that a stack keeps: the same text at every run, and nothing to see in a preview.
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from dataclasses import dataclass

import pulumi
import pulumi_random as random
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SEED_BYTES = 32
SECRET_CHARACTERS = 64
"""Letters and digits: more than 380 bits, of which a key has 256."""

_KEY_TYPE = b"ssh-ed25519"


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def public_key(seed: bytes) -> str:
    """The public key of a seed, as authorized_keys and known_hosts spell it."""
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "ssh-ed25519 " + base64.b64encode(_field(_KEY_TYPE) + _field(raw)).decode()


def private_key(seed: bytes) -> str:
    """The private key file of a seed (OpenSSH's PROTOCOL.key, unencrypted).

    The check number, random in OpenSSH, comes from the seed's hash: it only tells a wrong passphrase from a right one.
    """
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = _field(_KEY_TYPE) + _field(raw)
    check = hashlib.sha256(b"php-cluster check number" + seed).digest()[:4]
    secret = check + check + public + _field(seed + raw) + _field(b"php-cluster")
    secret += bytes(range(1, 1 + -len(secret) % 8))
    none = _field(b"none")
    body = b"openssh-key-v1\0" + none + none + _field(b"") + (1).to_bytes(4, "big") + _field(public) + _field(secret)
    lines = "\n".join(textwrap.wrap(base64.b64encode(body).decode(), 70))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n"


@dataclass(frozen=True)
class KeyPair:
    """A key pair whose private half is a secret of the stack."""

    public: pulumi.Output[str]
    private: pulumi.Output[str]


def key_pair(name: str, parent: pulumi.Resource) -> KeyPair:
    """Makes a key pair once and keeps its secret in the stack's state, encrypted.

    RandomPassword rather than RandomBytes: that one's id, which a state holds in the clear, is the secret itself.
    """
    secret = random.RandomPassword(
        name, length=SECRET_CHARACTERS, special=False, opts=pulumi.ResourceOptions(parent=parent)
    ).result
    seed = secret.apply(lambda text: hashlib.sha256(text.encode()).digest())
    return KeyPair(
        public=pulumi.Output.unsecret(seed.apply(public_key)),
        private=pulumi.Output.secret(seed.apply(private_key)),
    )
