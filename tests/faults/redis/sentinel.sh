# shellcheck shell=bash
# Runs Debian's Sentinel, with the times of Redis' own documentation; Debian's are 30 s and 180 s.
#
# Input: MASTER (address of the one that is written to at first).
# A second run changes nothing.

set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >/dev/null
apt-get install --yes --quiet=2 --no-install-recommends redis-sentinel >/dev/null
conf=/etc/redis/sentinel.conf
if grep --quiet '^sentinel monitor mymaster 127' "$conf"; then
    systemctl stop redis-sentinel
    sed --in-place -e '/^sentinel /d' -e 's/^bind .*/bind 0.0.0.0/' "$conf"
    cat >>"$conf" <<END
sentinel monitor mymaster $MASTER 6379 2
sentinel down-after-milliseconds mymaster 5000
sentinel failover-timeout mymaster 60000
sentinel parallel-syncs mymaster 1
END
    systemctl start redis-sentinel
fi
