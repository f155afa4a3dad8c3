# shellcheck shell=bash
# Runs a Redis of Debian's on a balancer, for whoever is in the machines' own network. There may be several.
#
# Input: NAME, PORT, SETTINGS (lines of redis.conf, where they are not Debian's).

set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
if [[ ! -e /etc/redis/redis.conf ]]; then
    apt-get update --quiet=2 >/dev/null
    apt-get install --yes --quiet=2 --no-install-recommends redis-server >/dev/null
    # Each one is an instance of redis-server@, so that its CPU time and its files are its own.
    systemctl disable --quiet --now redis-server
fi
folder=/var/lib/redis/$NAME
install --directory --owner=redis --group=redis --mode=750 "$folder"
{
    cat /etc/redis/redis.conf
    printf '%s\n' 'bind 0.0.0.0' 'protected-mode no' "port $PORT" "dir $folder" "pidfile /run/redis-$NAME/redis-server.pid" \
        "logfile $folder/log" "$SETTINGS"
} >"/etc/redis/redis-$NAME.conf"
chown redis:redis "/etc/redis/redis-$NAME.conf"
systemctl restart "redis-server@$NAME"
if [[ $SETTINGS == *replicaof* ]]; then
    timeout 30 bash -c "until [[ \$(redis-cli -p $PORT info replication) == *master_link_status:up* ]]; do sleep 0.1; done"
fi
