"""What is installed runs with the Python of each system that the README names."""

from importlib import metadata

import pytest
from packaging.specifiers import SpecifierSet

PYTHONS = ("3.11.2", "3.13.5")
"""Debian 12's and 13's."""


@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_can_be_had_by_the_python_of_a_stock_debian(python: str) -> None:
    newer = [
        f"{each.metadata['Name']} {each.version} wants Python {wanted}"
        for each in metadata.distributions()
        if (wanted := each.metadata["Requires-Python"]) and not SpecifierSet(wanted).contains(python)
    ]
    assert newer == []
