"""The config of the current stack as plain data: the one place that asks the engine for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime import config

from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.settings import SubstrateSettings, known_keys

_PREFIX = f"{NAMESPACE}:"


def check_project() -> None:
    """Checks that the config keys can be found: the engine keeps them by the project's name.

    Raises:
        ConfigError: `pulumi new --name`, or who edited Pulumi.yaml, has given the project another one.
    """
    if (name := pulumi.get_project()) != NAMESPACE:
        raise ConfigError(
            f"name in Pulumi.yaml is {name}\n    It must be {NAMESPACE}: every config key begins with it, and what is "
            f"set as {name}:phpNodes would be passed over. Clusters are told apart by the names of their stacks.\n"
            f"    Example: name: {NAMESPACE}"
        )


def values(substrates: Mapping[str, type[SubstrateSettings]]) -> dict[str, Any]:
    """Every key of this project's namespace that is set, unknown ones included, with its value."""
    defaults = known_keys(substrates)
    found: dict[str, Any] = {}
    for name, value in {**config.get_config_env(), **config.CONFIG.get()}.items():
        if name.startswith(_PREFIX):
            key = name.removeprefix(_PREFIX)
            found[key] = _decoded(value) if isinstance(defaults.get(key), (list, dict)) else value
    return found


def secret_keys() -> set[str]:
    """The keys of this project's namespace that are stored as secrets."""
    return {key.removeprefix(_PREFIX) for key in config.get_config_secret_keys_env()}


def _decoded(value: Any) -> Any:
    """Lists and maps arrive as JSON text; a value that is none is left for the checks to refuse."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
