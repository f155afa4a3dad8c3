"""Takes out of a record what differs between any two runs, whichever the plugins are: random values, times, ports, ids.

Each is replaced by what it is, so that one which is missing, or stands in another place, is still a difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.plugins.engine import UNKNOWN

SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""The key and the value by which the engine marks a secret in JSON."""

_BASE64 = "[A-Za-z0-9+/=]"

_PATTERNS = [
    (
        re.compile(rf"-----BEGIN OPENSSH PRIVATE KEY-----({_BASE64}|\\n|\n)+-----END OPENSSH PRIVATE KEY-----"),
        "<private key>",
    ),
    (re.compile(rf"(ssh-ed25519|ecdsa-sha2-nistp256) {_BASE64}{{68,}}"), r"\1 <public key>"),
    (re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"), "<bcrypt hash>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\[id=[0-9a-f]{8}\]"), "[id=<id>]"),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    # Of a plugin's record. What is not known yet is the same UUID everywhere, and stays.
    (re.compile(rf"\b(?!{UNKNOWN})[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\b"), "<uuid>"),
]

_DURATION = re.compile(r"\b\d+(\.\d+)?(ms|s)\b|\b\d+m\d+s\b")
_PORTS_OF_TESTS = range(1024, 65536)


class Normal:
    """Makes what one run left comparable with what another one left."""

    def __init__(self, names: Iterable[str], values: Mapping[str, str]) -> None:
        """Knows what belongs to one run alone.

        Args:
            names: Resources; the id of a command is its name and eight hexadecimal digits.
            values: Text that only this run has, a password say, to what it is.
        """
        either = "|".join(sorted(map(re.escape, filter(None, names)), key=len, reverse=True))
        self._ids = re.compile(rf"(?<![\w-])({either or '(?!)'})[0-9a-f]{{8}}\b")
        # The longest first: one may be a part of another.
        self._values = sorted(values.items(), key=lambda item: -len(item[0]))

    def text(self, text: str) -> str:
        """One text without what differs."""
        for pattern, meaning in _PATTERNS:
            text = pattern.sub(meaning, text)
        for value, meaning in self._values:
            text = text.replace(value, meaning)
        return self._ids.sub(r"\1<id>", text)

    def lines(self, shown: str) -> list[str]:
        """The lines that the command `pulumi` shows, without durations and the dots of its patience.

        In sorted order: steps run side by side.
        """
        lines = [_DURATION.sub("<duration>", self.text(line.rstrip())) for line in shown.splitlines()]
        return sorted(line for line in lines if line and not line.startswith("@ "))

    def value(self, value: Any, key: str = "") -> Any:
        """A JSON value; a secret with its content is one item, `<secret>`."""
        if isinstance(value, Mapping):
            if value.get(SIGNATURE) == SECRET:
                return {"<secret>": self.value(_content(value), key)}
            # What a resource depends on, and what differs in it, is told in no certain order.
            unordered = ("dependencies", "propertyDependencies", "diffs")
            return {
                self.text(name): _sorted(self.value(item, name)) if name in unordered else self.value(item, name)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self._text(value, key)
        return "<port>" if key == "port" and value in _PORTS_OF_TESTS else value

    def _text(self, value: str, key: str) -> str:
        if key in ("result", "bcryptHash"):
            return f"<{key} of {len(value)} characters>"
        return "<id>" if key == "id" and re.fullmatch("[0-9a-f]{8}", value) else self.text(value)


def _sorted(dependencies: Any) -> Any:
    """A list of words, or of a list of them for each property, in the order of their text."""
    if isinstance(dependencies, Mapping):
        return {name: _sorted(urns) for name, urns in dependencies.items()}
    return sorted(dependencies) if isinstance(dependencies, list) else dependencies


def _content(secret: Mapping[str, Any]) -> Any:
    """What is in a secret, as far as the engine gave it."""
    if "plaintext" in secret:
        return json.loads(secret["plaintext"])
    return secret.get("value", "<hidden>")


def passwords(resources: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The random values of a state with secrets in clear, each to the name of its resource."""
    found = {}
    for name, resource in resources.items():
        result = resource.get("outputs", {}).get("result")
        if resource["type"].startswith("random:") and isinstance(result, Mapping):
            found[str(_content(result))] = f"<password {name}>"
    return found
