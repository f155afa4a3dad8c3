"""An archive of packages on a machine: what serves there, with a higher version."""

from tests.stack.cluster import Cluster

FOLDER = "/var/archive"
SOURCES = "nginx|haproxy|keepalived|glusterfs|php8[.][0-9]"

_SCRIPT = f"""\
set -euo pipefail
apt-get update --quiet --quiet
mkdir -p {FOLDER}
cd {FOLDER}
dpkg-query --show --showformat '${{source:Package}} ${{Package}}\\n' \\
    | awk '$1 ~ /^({SOURCES})$/ {{ print $2 }}' >names
for package in $(<names); do
    apt-get download --quiet --quiet "$package"
    dpkg-deb --raw-extract "$package"_*.deb unpacked
    rm "$package"_*.deb
    # Others of the same source ask for just this version.
    sed --in-place 's/^Version: .*/&+newer/; /Depends:/ s/(= /(>= /g' unpacked/DEBIAN/control
    dpkg-deb --build -Znone unpacked . >/dev/null
    rm -r unpacked
done
for file in *.deb; do
    dpkg-deb --field "$file"
    printf 'Filename: ./%s\\nSize: %s\\n' "$file" "$(stat --format %s "$file")"
    printf 'SHA256: %s\\n\\n' "$(sha256sum "$file" | cut --delimiter ' ' --fields 1)"
done >Packages
echo 'deb [trusted=yes] file:{FOLDER} ./' >/etc/apt/sources.list.d/archive.list
"""


def offer_updates(cluster: Cluster, machine: str) -> None:
    """Has a machine find a newer version of each package that serves there."""
    cluster.enter(machine, _SCRIPT)
