"""What a site's own files ask of a web server, and what is made of it."""

from pathlib import Path

import pytest

from components.site.rules import closed_folders, post_max_sizes, unfollowed_rules, warning_about


def site(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("post_max_size=64M", ("64M",)),
        (' post_max_size = "1G" ; large\nmemory_limit = 1M\n', ("1G",)),
        ("; post_max_size = 64M", ()),
        ("upload_max_filesize = 64M\npost_max_size = lots", ()),
    ],
)
def test_sizes_of_user_ini(tmp_path: Path, text: str, sizes: tuple[str, ...]) -> None:
    assert post_max_sizes(site(tmp_path, {"admin/.user.ini": text}), []) == sizes


def test_what_stays_at_home_asks_for_nothing(tmp_path: Path) -> None:
    folder = site(tmp_path, {"old/.user.ini": "post_max_size=64M", "old/.htaccess": "Require all denied"})
    assert (post_max_sizes(folder, ["old"]), closed_folders(folder, ["old"]), unfollowed_rules(folder, ["old"])) == (
        (),
        (),
        [],
    )


WORDPRESS = """
# BEGIN WordPress
<IfModule mod_rewrite.c>
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteBase /
RewriteRule ^index\\.php$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /index.php [L]
</IfModule>
# END WordPress
"""
SYMFONY = """
DirectoryIndex index.php
<IfModule mod_negotiation.c>
    Options -MultiViews
</IfModule>
RewriteEngine On
RewriteRule ^ %{ENV:BASE}/index.php [L]
"""
OLD_AND_NEW = """
<IfModule mod_authz_core.c>
    Require all denied
</IfModule>
<IfModule !mod_authz_core.c>
    Order allow,deny
    Deny from all
</IfModule>
"""


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (WORDPRESS, ""),
        ("RewriteEngine On\nRewriteRule ^(.*)$ index.php/$1 [QSA,L]\n", ""),
        ("RewriteRule ^(.*)$ public/$1 [L]", "RewriteRule"),
        ("RewriteRule ^(data|conf)/ - [F,L]", "RewriteRule (access)"),
        ("<Files secret.txt>\nRequire all denied\n</Files>", "Require (access)"),
        ("Options -Indexes +FollowSymLinks\n", ""),
        ("Options +Indexes\n", "Options"),
        ("DirectoryIndex app.php\n", "DirectoryIndex"),
        (
            "php_value upload_max_filesize 64M\nHeader set X-A b\nErrorDocument 404 /404.html\n",
            "php_value, Header, ErrorDocument",
        ),
        ("AuthType Basic\nAuthUserFile /x\nRequire valid-user\n", "AuthType, AuthUserFile, Require (access)"),
        ("Order allow,deny\nAllow from all\n", ""),
    ],
)
def test_rules_that_nginx_does_not_follow(tmp_path: Path, text: str, rules: str) -> None:
    found = unfollowed_rules(site(tmp_path, {".htaccess": text}), [])
    assert found == ([f".htaccess: {rules}"] if rules else [])
    assert (rules in warning_about(found)) and bool(warning_about(found)) == bool(rules)


def test_a_folder_that_lets_nobody_in_is_closed(tmp_path: Path) -> None:
    files = {
        "data/.htaccess": OLD_AND_NEW,
        "data/public/.htaccess": "Require all granted",
        "conf/.htaccess": "order deny,allow\ndeny from all\n",
        "some/.htaccess": "<FilesMatch \\.txt$>\nRequire all denied\n</FilesMatch>\n",
        ".htaccess": WORDPRESS,
    }
    folder = site(tmp_path, files)
    assert set(closed_folders(folder, [])) == {"/conf/", "/data/", "!/data/public/"}
    assert closed_folders(folder, []).index("/data/") < closed_folders(folder, []).index("!/data/public/")
    assert unfollowed_rules(folder, []) == ["some/.htaccess: Require (access)"]
