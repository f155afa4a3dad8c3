"""The site of the tests: applications from Debian's packages, each below a folder of its own."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.applications.database import Database
from tests.applications.packages import RELEASE, copied, unpacked
from tests.commands import PROJECT

OWN_FILES = Path(__file__).parent / "site"
"""What an operator writes: configurations, and pages where a package is a library."""

APPLICATIONS = ("dokuwiki", "phpmyadmin", "wordpress", "wordpress-theme-twentytwentythree")
# Debian links to them, or has them joined to an application.
PARTS = (
    "libjs-codemirror",
    "libjs-cropper",
    "libjs-jquery",
    "libjs-jquery-mousewheel",
    "libjs-jquery-tablesorter",
    "libjs-jquery-timepicker",
    "libjs-jquery-ui",
    "libjs-underscore",
    "php-getid3",
)
PHP_EXTENSIONS = ("php-gd", "php-mbstring", "php-mysql", "php-xml")
# What Debian's applications look for below /usr/share of the machine that runs them.
LIBRARIES = (
    "libjs-jquery",
    "libjs-jquery-cookie",
    "libjs-jquery-ui",
    "libphp-simplepie",
    "php-composer-ca-bundle",
    "php-geshi",
    "php-google-recaptcha",
    "php-illuminate-config",
    "php-illuminate-container",
    "php-illuminate-http",
    "php-illuminate-session",
    "php-mariadb-mysql-kbs",
    "php-nesbot-carbon",
    "php-nikic-fast-route",
    "php-phpmyadmin-motranslator",
    "php-phpmyadmin-shapefile",
    "php-phpmyadmin-sql-parser",
    "php-phpseclib",
    "php-psr-http-factory",
    "php-psr-http-message",
    "php-random-compat",
    "php-slim-psr7",
    "php-symfony-config",
    "php-symfony-dependency-injection",
    "php-symfony-expression-language",
    "php-symfony-http-foundation",
    "php-symfony-polyfill-php80",
    "php-twig",
    "php-twig-i18n-extension",
    "php-webmozart-assert",
)

# Where phpMyAdmin looks for things is a packager's file; these two lines are as its makers ship them.
_PHPMYADMIN_PLACES = {
    "'tempDir' => '/var/lib/phpmyadmin/tmp/'": "'tempDir' => ROOT_PATH . 'tmp' . DIRECTORY_SEPARATOR",
    "'configFile' => '/etc/phpmyadmin/config.inc.php'": "'configFile' => ROOT_PATH . 'config.inc.php'",
}


@dataclass(frozen=True)
class Settings:
    """Config values of a stack, by the paths of keys.

    Attributes:
        plain: Those for all to see.
        secret: The others.
    """

    plain: dict[str, str]
    secret: dict[str, str]


def make_site(folder: Path, work: Path) -> None:
    """Makes the site.

    Args:
        folder: Where; the page that ships is at its top.
        work: An empty folder for what is unpacked.
    """
    unpacked((*APPLICATIONS, *PARTS), work)
    shutil.copytree(PROJECT / "app", folder)
    _make_dokuwiki(folder / "dokuwiki", work)
    _make_phpmyadmin(folder / "phpmyadmin", work)
    copied(work, "usr/share/wordpress", folder / "wordpress")
    shutil.copytree(OWN_FILES, folder, dirs_exist_ok=True)


def _make_dokuwiki(folder: Path, work: Path) -> None:
    copied(work, "usr/share/dokuwiki", folder)
    copied(work, "etc/dokuwiki", folder / "conf")
    copied(work, "var/lib/dokuwiki/data", folder / "data")
    # Debian's places for configurations, in the stead of DokuWiki's own.
    (folder / "inc" / "preload.php").unlink()


def _make_phpmyadmin(folder: Path, work: Path) -> None:
    copied(work, "usr/share/phpmyadmin", folder)
    places = folder / "libraries" / "vendor_config.php"
    text = places.read_text()
    for debian, original in _PHPMYADMIN_PLACES.items():
        assert debian in text, text
        text = text.replace(debian, original)
    places.write_text(text)


def settings_for(folder: Path, database: Database) -> Settings:
    """The settings of a stack that serves the site in `folder`."""
    lists = {
        "extraPackages": (*PHP_EXTENSIONS, *LIBRARIES),
        "sharedDirs": ("dokuwiki/conf", "dokuwiki/data", "wordpress/wp-content/uploads"),
        "writableDirs": ("phpmyadmin/tmp",),
    }
    plain = {f"{key}[{index}]": value for key, values in lists.items() for index, value in enumerate(values)}
    return Settings(
        {
            "phpNodes": "2",
            "debian": str(RELEASE.number),
            "appDir": str(folder),
            "appEnvironment.DB_HOST": database.address,
            "appEnvironment.DB_USER": database.user,
            "appEnvironment.SESSION_DRIVER": "php",
            **plain,
        },
        {
            "appEnvironment.DB_PASSWORD": database.password,
            "appEnvironment.PMA_SECRET": secrets.token_hex(32),
            "appEnvironment.WP_SECRET": secrets.token_hex(32),
        },
    )
