"""Writes docs/settings.md from what Pulumi.yaml declares and what the checks say: `python -m scripts.settings_page`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from components.plan.config_values import ConfigError
from components.plan.settings import read_settings
from components.substrates.registry import SUBSTRATES

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "docs" / "settings.md"

SECTIONS = {
    "substrate": "Machines",
    "network": "Addresses and HTTPS",
    "trustedProxies": "Requests",
    "appDir": "Site",
    "preset": "Application",
    "phpSettings": "PHP",
    "brickGiB": "Storage",
    "aws": "Substrates",
}
"""The first key of each section, in the order of Pulumi.yaml."""

_INTRODUCTION = """\
# Settings

Every config key with its meaning, default, rule and an example. `pulumi config set KEY VALUE` (after
`source scripts/activate`) sets one, `pulumi up` applies it. A wrong value is refused before anything is changed: the
error names the key, the rule and an example, for all wrong keys at once.

`network`, `floatingIp` and `glusterTls` are chosen when the stack is created. Another `network` replaces the machines,
and their sessions are lost. Another `glusterTls` is refused.

`python -m scripts.settings_page` writes this page from `Pulumi.yaml` and from the checks in `components/`. A test
compares them.
"""

_REFUSAL = re.compile(r"\n    It must be (?P<rule>.+)\.\n    Example: (?P<example>.+)")
_DOCS = re.compile(r"docs/(\S+\.md)")
_EXAMPLE = re.compile(r"\n    Example: (.+)")


def _refusal(key: str, kind: str) -> str:
    """What somebody is told who sets a list in place of a map, or a map in place of anything else."""
    try:
        read_settings({key: [object()] if kind == "object" else {"": object()}}, (), SUBSTRATES)
    except ConfigError as problem:
        return next(
            paragraph for paragraph in str(problem).split("\n\n") if paragraph.startswith(f"php-cluster:{key} ")
        )
    raise AssertionError(f"{key} takes a map: its parser refuses too little")


def _default(value: Any) -> str:
    if value in ("", [], {}):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _section(key: str, declaration: dict[str, Any]) -> str:
    refusal = _refusal(key, declaration["type"])
    lines = [f"### `{key}`", "", _DOCS.sub(r"[\1](\1)", declaration["description"].strip()), ""]
    lines.append(f"- Type: {declaration['type']}. Default: {_default(declaration['default'])}.")
    if rule := _REFUSAL.search(refusal):
        # Of the map of environment variables the rule speaks of the very variable that is wrong.
        text = rule["rule"].split(", but ")[0].replace(f"relative to {PROJECT}", "relative to the project")
        lines.append(f"- Rule: {text}.")
    lines += [f"- Example: `{example}`" for example in _EXAMPLE.findall(refusal)]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    declared = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    parts = [_INTRODUCTION]
    for key, declaration in declared.items():
        if key in SECTIONS:
            parts.append(f"## {SECTIONS[key]}\n")
        parts.append(_section(key, declaration))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
