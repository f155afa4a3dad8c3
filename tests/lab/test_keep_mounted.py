"""How the keeper tries a mount: nothing that the site's user puts there leads root anywhere."""

import pytest

from tests.commands import PROJECT
from tests.lab.conftest import Image

# The keeper's functions without its service, on a folder in place of the mount.
SETUP = """
set -u
mount_point=/media/sessions answered=/run/php-cluster/mount-answered
mkdir -p "$mount_point"
chown www-data:www-data "$mount_point"
chmod 700 "$mount_point"
probe=$mount_point/.php-cluster-$(hostname)
eval "$(sed --quiet '/^look_at_clock()/,/^}/p; /^write_comes_back()/,/^}/p' /files/keep-mounted)"
as_site() { setpriv --reuid=www-data --regid=www-data --clear-groups -- "$@"; }
echo secret >/etc/secret
"""


def said(image: Image, script: str) -> str:
    done = image.run(SETUP + script, files=PROJECT / "scripts" / "hosts" / "php")
    # What systemd-nspawn itself says of its end.
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("Attempted to remove disk"))


def test_a_write_comes_back_and_nothing_stays(image: Image) -> None:
    assert said(image, 'write_comes_back && ls -A "$mount_point" && echo well') == "well"
    # A keeper that was killed in the middle has left its file.
    assert said(image, 'as_site touch "$probe"; write_comes_back && echo well') == "well"


@pytest.mark.parametrize("target", ["/etc/secret", "/etc/new"])
def test_no_link_is_followed(image: Image, target: str) -> None:
    output = said(image, f'as_site ln -s {target} "$probe"; write_comes_back; ls -d /etc/new; cat /etc/secret')
    assert output.splitlines()[-1] == "secret" and "cannot access '/etc/new'" in output


def test_a_link_that_comes_back_at_once_is_not_followed(image: Image) -> None:
    racing = 'as_site bash -c \'for _ in {1..1000}; do ln -sf /etc/secret "$0"; done\' "$probe" &'
    output = said(image, racing + " for _ in {1..20}; do write_comes_back; done; kill $!; cat /etc/secret")
    assert output.splitlines()[-1] == "secret"


def test_a_mount_that_takes_no_writes_is_seen(image: Image) -> None:
    assert said(image, 'as_site mkdir "$probe"; write_comes_back || echo "no write"') == "no write"
    assert said(image, 'mount -t tmpfs -o ro none "$mount_point"; write_comes_back || echo "no write"') == "no write"
    # A new volume belongs to root until the mount's own step has given it to PHP's user.
    assert said(image, 'chown root "$mount_point"; write_comes_back || echo "no write"') == "no write"
