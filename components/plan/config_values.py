"""Reading config values: what they must be beyond their type, and what the refusal of a wrong one says.

A parser raises ValueError or TypeError for a value that cannot be meant; a `Reader` collects the refusals.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

NAMESPACE = "php-cluster"
SECRET_KEYS = frozenset({"tlsKey", "appEnvironment"})

T = TypeVar("T")

_REACHABLE6 = (ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("fc00::/7"))


class ConfigError(Exception):
    """One or more config keys have a value that cannot work; the text has a paragraph for each."""


def made_otherwise(key: str, wanted: str, made: str, *, was: str, another: str) -> ConfigError:
    """The refusal of a key that must stay as it was when the stack was made.

    Args:
        key: The key.
        wanted: The value that it has.
        made: The value that works.
        was: What the stack is like.
        another: What a stack with the value `wanted` would be.
    """
    return ConfigError(
        f"{NAMESPACE}:{key} is {wanted}; nothing was changed.\n"
        f"    It must stay as it was when the stack was made, which is {was}.\n"
        f"    Example: pulumi config set {key} {made}\n"
        f"    A stack {another} is another one: make it beside this one, or after `pulumi destroy`."
    )


class Reader:
    """Reads keys one after the other and collects what is wrong instead of stopping at the first."""

    def __init__(
        self,
        given: Any,
        defaults: Mapping[str, Any],
        *,
        group: str = "",
        example: str = "",
        secret_keys: Collection[str] = SECRET_KEYS,
        problems: list[str] | None = None,
    ) -> None:
        """Reads what is given, and for the rest the defaults, whose keys are all that there are.

        Args:
            given: What is set.
            defaults: Every known key with its default.
            group: Name of the key below which these stand; empty for those at the top.
            example: A key of the group and a value that works, for someone who has set no map there.
            secret_keys: Keys whose values are never shown.
            problems: Gets what is wrong.
        """
        self.group = group
        self.problems: list[str] = [] if problems is None else problems
        self._defaults, self._secret_keys = defaults, secret_keys
        set_here = given if isinstance(given, Mapping) else {}
        self.values: Mapping[str, Any] = {**defaults, **set_here}
        if set_here is not given:
            self.problems.append(
                f"{NAMESPACE}:{group} is no map of settings\n    Example: pulumi config set --path {group}.{example}"
            )
        for unknown in sorted(set(set_here) - set(defaults)):
            near = difflib.get_close_matches(unknown, defaults, n=1, cutoff=0.4)
            hint = f"Did you mean {near[0]}? " if near else ""
            key = f"{group}.{unknown}" if group else unknown
            self.problems.append(
                f"{NAMESPACE}:{key} is no key of this project\n    {hint}Known keys: {', '.join(sorted(defaults))}.\n"
                f"    Remove it: pulumi config rm {'--path ' if group else ''}{key}"
            )

    def below(
        self, key: str, defaults: Mapping[str, Any], *, example: str, secret_keys: Collection[str] = ()
    ) -> Reader:
        """A reader of the map below a key; what is wrong there is noted here."""
        return Reader(
            self.values[key], defaults, group=key, example=example, secret_keys=secret_keys, problems=self.problems
        )

    def default_to(self, key: str, value: Any) -> None:
        """Gives a key another default. The engine hands out the declared one as if it were set."""
        if str(self.values[key]) == str(self._defaults[key]):
            self.values = {**self.values, key: value}

    def refuse(self, key: str, rule: str, example: str, *, shown: str | None = None) -> None:
        """Notes that a key's value breaks a rule. Secrets are never shown."""
        value = "[secret]" if key in self._secret_keys else shown or json.dumps(self.values.get(key), default=str)
        if len(value) > 80:
            value = value[:77] + "..."
        if self.group:
            name, _, value_that_works = example.partition(" ")
            key, example = f"{self.group}.{key}", f"--path '{self.group}.{name}' {value_that_works}"
        self.problems.append(
            f"{NAMESPACE}:{key} is {value}\n    It must be {rule}.\n    Example: pulumi config set {example}"
        )

    def read(self, key: str, parse: Callable[[Any], T], rule: str, example: str, fallback: T) -> T:
        """The parsed value of a key; the fallback if it was refused."""
        try:
            return parse(self.values[key])
        except (ValueError, TypeError, KeyError):
            self.refuse(key, rule, example)
            return fallback


def integer(low: int, high: int) -> Callable[[Any], int]:
    """A whole number, as a number or as text."""

    def parse(value: Any) -> int:
        number = int(value)
        if isinstance(value, bool) or str(number) != str(value).strip() or not low <= number <= high:
            raise ValueError
        return number

    return parse


def one_of(choices: Collection[str]) -> Callable[[Any], str]:
    """One of these words."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return parse


def switch(value: Any) -> bool:
    """True or false, as such or as text."""
    if value not in (True, False, "true", "false") or (isinstance(value, int) and not isinstance(value, bool)):
        raise ValueError
    return value in (True, "true")


def optional_switch(value: Any) -> bool | None:
    """None for the empty text."""
    return None if value == "" else switch(value)


def optional(parse: Callable[[str], T]) -> Callable[[Any], T | None]:
    """None for the empty text."""
    return lambda value: None if value == "" else parse(text(value))


def text(value: Any) -> str:
    """Text, and nothing that could be taken for it."""
    if not isinstance(value, str):
        raise TypeError
    return value


def matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    """Text that the whole pattern fits."""

    def parse(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError
        return value

    return parse


def list_of(parse: Callable[[str], str]) -> Callable[[Any], tuple[str, ...]]:
    """A list of texts, each of this kind."""

    def parse_list(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise TypeError
        return tuple(parse(text(item)) for item in value)

    return parse_list


def not_empty(value: str) -> str:
    """Any text but the empty one."""
    if not value:
        raise ValueError
    return value


def private_network(value: str) -> str:
    """An IPv4 network in CIDR notation without host bits."""
    if "/" not in value:
        raise ValueError
    return str(ipaddress.IPv4Network(value))


def any_network(value: str) -> str:
    """A network in CIDR notation without host bits, IPv4 or IPv6, that is not the whole world."""
    if "/" not in value or value.endswith("/0"):
        raise ValueError
    return str(ipaddress.ip_network(value))


def address(value: str) -> str:
    """An IPv4 address."""
    return str(ipaddress.IPv4Address(value))


def address6(value: str) -> str:
    """An IPv6 address that visitors can reach: a global one, or one of a site's own (RFC 4193)."""
    found = ipaddress.IPv6Address(value)
    if found.scope_id or not any(found in network for network in _REACHABLE6):
        raise ValueError
    return str(found)


def text_as_is(value: str) -> str:
    """Any text."""
    return value
