# shellcheck shell=bash
# Runs a Redis of Debian's, for whoever is in the machines' own network, with its log of changes.
#
# Input: SETTINGS (lines of redis.conf, where they are not Debian's).
# A second run changes nothing, whichever of them is the master by then.

set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >/dev/null
apt-get install --yes --quiet=2 --no-install-recommends redis-server >/dev/null
conf=/etc/redis/redis.conf
if grep --quiet '^appendonly no' "$conf"; then
    sed --in-place -e 's/^appendonly no/appendonly yes/' -e '/^protected-mode /d' -e '/^bind /d' "$conf"
    printf '%s\n' 'bind 0.0.0.0' 'protected-mode no' "$SETTINGS" >>"$conf"
    systemctl restart redis-server
fi
