"""How PHP's settings are written down."""

import pytest

from components.plan.php_settings import ini_value, with_cookie_rules


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


def test_a_site_has_the_last_word_about_its_cookie() -> None:
    assert with_cookie_rules({}, tls=False) == {"session.cookie_httponly": "on", "session.cookie_samesite": "Lax"}
    assert with_cookie_rules({}, tls=True)["session.cookie_secure"] == "on"
    own = {"session.cookie_samesite": "None", "session.cookie_secure": "off", "memory_limit": "256M"}
    assert with_cookie_rules(own, tls=True) == {"session.cookie_httponly": "on", **own}
