"""How PHP's settings are written down."""

import pytest

from components.plan.php_settings import ini_value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("E_ALL & ~E_DEPRECATED", "E_ALL & ~E_DEPRECATED"),
        ("(E_ALL|E_STRICT)^E_NOTICE", "(E_ALL|E_STRICT)^E_NOTICE"),
        ("E_ALL", "E_ALL"),
        ("256M", '"256M"'),
        ("-1", '"-1"'),
        ("UTF-8", '"UTF-8"'),
        ("Europe/Berlin", '"Europe/Berlin"'),
        ("exec,system", '"exec,system"'),
        (";&", '";&"'),
        ("on", '"on"'),
        ("a = b; c", '"a = b; c"'),
        ("", '""'),
    ],
)
def test_php_works_out_constants_and_takes_all_else_as_it_is(value: str, written: str) -> None:
    assert ini_value(value) == written
