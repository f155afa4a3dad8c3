"""Patterns of denyPaths, and what of an ordinary application they keep from visitors."""

import re
from collections.abc import Iterable

import pytest

from components.plan.path_patterns import expression, is_pattern, ordered_expressions
from components.plan.settings import declared_defaults

DEFAULTS = declared_defaults()["denyPaths"]


def denies(patterns: Iterable[str], path: str) -> bool:
    """Whether a file's path, which begins with a slash, is denied."""
    return next(
        (denied for found, denied in ordered_expressions(patterns) if re.search(found, path, re.IGNORECASE)), False
    )


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not_fit"),
    [
        ("*.sql", ["/dump.sql", "/a/b/dump.SQL", "/x.sql/y"], ["/dump.sqlx", "/sql", "/a.sql.gz"]),
        (".*", ["/.env", "/a/.git/config"], ["/a.b", "/a/b."]),
        ("private/", ["/private", "/private/", "/private/x", "/a/private/x"], ["/privateer/x"]),
        ("/data/", ["/data/x", "/data/a/b"], ["/a/data/x", "/database/x"]),
        ("/lib/*.ini", ["/lib/a.ini"], ["/lib/a/b.ini", "/x/lib/a.ini"]),
        ("/lib/**/*.ini", ["/lib/a.ini", "/lib/a/b/c.ini"], ["/lib/a.inix"]),
        ("a?[xy].{css,js}", ["/abx.css", "/z/aby.js"], ["/abz.css", "/ax.css", "/a/x.css"]),
        ("[!a]b", ["/cb"], ["/ab"]),
        ("a+b(c", [], []),
    ],
)
def test_a_pattern_fits(pattern: str, fits: list[str], does_not_fit: list[str]) -> None:
    if not fits:
        assert not is_pattern(pattern)
        return
    assert [path for path in fits if not denies([pattern], path)] == []
    assert [path for path in does_not_fit if denies([pattern], path)] == []


@pytest.mark.parametrize("wrong", ["", "/", "!", "a b", 'a"b', "a\\b", "a{b", "a[b", "a//b", "a;b", "a$b", "a\nb"])
def test_no_pattern(wrong: str) -> None:
    with pytest.raises(ValueError):
        expression(wrong)


def test_the_last_pattern_that_fits_decides() -> None:
    patterns = ["*.log", "!/public/*.log", "/public/secret.log"]
    assert [denies(patterns, f"/{path}") for path in ("a.log", "public/a.log", "public/secret.log", "b")] == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "path",
    [
        *("/.env", "/.git/config", "/data/.htaccess", "/.user.ini", "/backup.sql", "/a/old.bak", "/var/log/dev.log"),
        *("/composer.json", "/composer.lock", "/vendor/composer/installed.json", "/index.php~", "/settings.php.bak"),
        *("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/vendor/bin/phpunit", "/vendor/", "/includes/db.inc"),
    ],
)
def test_the_default_keeps(path: str) -> None:
    assert denies(DEFAULTS, path)


@pytest.mark.parametrize(
    "path",
    [
        *("/index.php", "/.well-known/security.txt", "/.well-known/acme-challenge/x", "/wp-content/uploads/a.jpg"),
        *("/assets/vendor/x.js", "/vendor/telescope/app.css", "/vendor/a/b/logo.svg", "/core/vendor/jquery.min.js"),
        *("/js_composer.min.js", "/composer.js", "/robots.txt", "/manual.pdf", "/sql.php", "/bundles/x/app.js.map"),
    ],
)
def test_the_default_serves(path: str) -> None:
    assert not denies(DEFAULTS, path)
