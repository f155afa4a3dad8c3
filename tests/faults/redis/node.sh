# shellcheck shell=bash
# Leads a PHP node to the Redis that is master: an HAProxy on the node itself asks each one for its role. php-redis' session
# handler cannot ask Sentinel.
#
# Input: SERVERS (lines "NAME ADDRESS").
# A second run starts the same anew.

set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >/dev/null
apt-get install --yes --quiet=2 --no-install-recommends haproxy socat >/dev/null
cat >/etc/haproxy/haproxy.cfg <<'END'
global
    log /dev/log local0
    user haproxy
    group haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin

defaults
    mode tcp
    log global
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout check 1s

listen redis
    bind 127.0.0.1:6379
    option tcp-check
    tcp-check connect
    tcp-check send PING\r\n
    tcp-check expect string +PONG
    tcp-check send info\ replication\r\n
    tcp-check expect string role:master
    tcp-check send QUIT\r\n
    tcp-check expect string +OK
    default-server check inter 1s on-marked-down shutdown-sessions
END
while read -r name address; do
    echo "    server $name $address:6379" >>/etc/haproxy/haproxy.cfg
done <<<"$SERVERS"
systemctl restart haproxy
