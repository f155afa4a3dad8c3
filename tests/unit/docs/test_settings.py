"""Keys, defaults and presets on the pages are those of the code."""

import re

import pytest
import yaml

from components.plan.application_settings import PRESETS
from components.plan.config_values import ConfigError
from components.plan.settings import declared_defaults, read_settings
from components.substrates.registry import SUBSTRATES
from scripts import settings_page
from tests.unit.docs.pages import page, table

SPAN = re.compile(r"`([^`]+)`")


def test_the_page_of_settings_is_what_the_program_writes() -> None:
    assert settings_page.PAGE.read_text() == settings_page.page(), "python -m scripts.settings_page"


def test_examples_work() -> None:
    """The value of each that names one and stands by itself."""
    tried = 0
    for example in re.findall(r"- Example: `pulumi config set (\w+ [^<`]+)`", settings_page.PAGE.read_text()):
        key, _, value = example.partition(" ")
        # These go with another key, or with a folder of the site.
        if key in ("network", "floatingIp", "proxyProtocol", "preset", "webRoot", "hsts", "http3"):
            continue
        read_settings({key: yaml.safe_load(value)}, (), SUBSTRATES)
        tried += 1
    assert tried > 10


def test_readme_has_the_defaults() -> None:
    for key, default, _ in table(page("README.md").section("## Settings"), "key"):
        declared = declared_defaults()[key.strip("`")]
        assert default == (f"`{declared}`" if declared else "none")


@pytest.mark.parametrize(("substrate", "name"), [("aws", "docs/aws.md"), ("existing", "docs/existing.md")])
def test_keys_of_substrates(substrate: str, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings({"substrate": substrate, substrate: {"noKey": "1"}}, (), SUBSTRATES)
    known = re.search(rf"{substrate}\.noKey is no key.*Known keys: ([^.]+)\.", str(refused.value), re.DOTALL)
    assert known is not None
    first = "key" if substrate == "aws" else "key below `existing`"
    assert {row[0].strip("`") for row in table(page(name).text, first)} == set(known[1].split(", "))


def test_presets() -> None:
    rows = table(page("docs/applications.md").section("## Presets"), "preset")
    keys = ("webRoot", "writableDirs", "sharedDirs", "nodeCommands")
    said = {}
    for name, *cells in rows:
        values = {key: SPAN.findall(cell) for key, cell in zip(keys, cells, strict=True) if cell}
        said[name.strip("`")] = {key: value[0] if key == "webRoot" else value for key, value in values.items()}
    assert said == PRESETS


def test_keys_of_applications() -> None:
    rows = table(page("docs/applications.md").text, "key")
    keys = {key for row in rows for key in SPAN.findall(row[0])}
    assert keys <= set(declared_defaults())
    [seconds] = [row for row in rows if "`commandSeconds`" in row[0]]
    assert seconds[2] == str(declared_defaults()["commandSeconds"])
