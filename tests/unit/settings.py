"""Reads settings as the program does, for whichever substrate they choose."""

from collections.abc import Collection, Mapping
from typing import Any

from components.plan import settings
from components.plan.settings import Settings
from components.substrates.registry import SUBSTRATES, Substrate


def read_with_substrate(
    values: Mapping[str, Any], secret_keys: Collection[str] = ()
) -> tuple[Settings, Substrate[Any]]:
    """The checked settings, and the substrate with its own."""
    return settings.read_settings(values, secret_keys, SUBSTRATES)


def read_settings(values: Mapping[str, Any], secret_keys: Collection[str] = ()) -> Settings:
    """The checked settings that every substrate has."""
    return read_with_substrate(values, secret_keys)[0]
