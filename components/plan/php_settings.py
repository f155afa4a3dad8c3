"""PHP ini settings of the site, as they stand in a file, and the limits of requests that hang on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

DEFAULT_POST_MAX_SIZE = "8M"
DEFAULT_SESSION_NAME = "PHPSESSID"

HEADER_KIB = 32
"""How much room the headers of a request have, and those of an answer: HAProxy's buffer, of which it keeps a little for
itself. nginx has as much for each, so that all limits are this one."""

COOKIE_RULES = {"session.cookie_httponly": "on", "session.cookie_samesite": "Lax"}
SECURE_COOKIE = {"session.cookie_secure": "on"}
"""What browsers do with a session's cookie, where the site says nothing else: no script reads it, another site sends it
along with nothing but a link that is followed; where there is TLS, it goes no other way."""

_EXPRESSION = re.compile(r"[A-Z0-9_\s&|^~!()]+")
_CONSTANT = re.compile(r"\b[A-Z][A-Z0-9_]*\b")
_SIZE = re.compile(r"([0-9]+)([kmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def ini_value(text: str) -> str:
    """How a value is written: constants and what is made of them (`E_ALL & ~E_DEPRECATED`) bare, so that PHP works them
    out, and all else in quotes, in which nothing but `${NAME}` has a meaning."""
    if _EXPRESSION.fullmatch(text) and _CONSTANT.search(text):
        return text
    return f'"{text}"'


def with_cookie_rules(settings: Mapping[str, str], *, tls: bool) -> Mapping[str, str]:
    """The site's settings, and rules for its session's cookie where it has none of its own."""
    return {**COOKIE_RULES, **(SECURE_COOKIE if tls else {}), **settings}


def ini_lines(settings: Mapping[str, str]) -> str:
    """The lines of an ini file, one for each setting."""
    return "".join(f"{name} = {ini_value(value)}\n" for name, value in settings.items())


def body_limit(sizes: Iterable[str]) -> str:
    """nginx's limit for a request, from PHP's own ones: a site that raises one should not have to know of the other.

    Args:
        sizes: Values of `post_max_size`; 0 is no limit, and what is no size counts as the default.
    """
    found = [match for size in sizes if (match := _SIZE.fullmatch(size))]
    if any(int(match[1]) == 0 for match in found):
        return "0"
    largest = max(found, key=lambda match: int(match[1]) * _UNITS[match[2].lower()], default=None)
    return (largest[0] if largest else DEFAULT_POST_MAX_SIZE).lower()
