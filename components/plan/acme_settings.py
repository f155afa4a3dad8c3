"""The keys below `acme`: a certificate that the cluster asks of a CA and renews by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.plan.config_values import Reader, list_of, matching, optional

HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
HOST_NAME_RULE = "a host name: letters a to z, digits and hyphens, in parts of at most 63 joined by dots"

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

_EMAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_DIRECTORY = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_EXAMPLE = "email admin@example.org"


@dataclass(frozen=True)
class AcmeSettings:
    """What a CA is asked for.

    Attributes:
        email: Whom the CA may write to. Who sets it accepts the CA's terms of service.
        directory: Where the CA's service (RFC 8555) begins.
        alternative_names: Names of the certificate beside `siteName`.
    """

    email: str
    directory: str
    alternative_names: tuple[str, ...]


def read_acme(reader: Reader) -> AcmeSettings | None:
    """Checks the keys below `acme`; None without an email address."""
    defaults = {"email": "", "directory": LETS_ENCRYPT, "alternativeNames": []}
    below = reader.below("acme", defaults, example=_EXAMPLE)
    email = below.read("email", optional(matching(_EMAIL)), "an email address", _EXAMPLE, None)
    directory = below.read(
        "directory",
        matching(_DIRECTORY),
        "the https URL of a CA's directory",
        f"directory {LETS_ENCRYPT}",
        LETS_ENCRYPT,
    )
    names: tuple[str, ...] = below.read(
        "alternativeNames",
        list_of(matching(HOST_NAME)),
        f"a list of names, each {HOST_NAME_RULE}",
        "alternativeNames[0] example.org",
        (),
    )
    if email is None:
        unused = next((key for key in ("directory", "alternativeNames") if below.values[key] != defaults[key]), None)
        if unused and below.values["email"] == "":
            below.refuse("email", f"set when {unused} is", _EXAMPLE)
        return None
    return AcmeSettings(email, directory, names)
