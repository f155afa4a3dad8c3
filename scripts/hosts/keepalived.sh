# shellcheck shell=bash
# Makes keepalived watch the other load balancer and HAProxy, and own the floating IP when it is due.
#
# Input: KEEPALIVED_CONF (text).
# Postcondition: keepalived is enabled and runs with this configuration. A wrong one is refused before it replaces anything.
# A second run changes nothing.

# Bash's own TCP: no other program is started every second.
# shellcheck disable=SC2016  # its own variables
put_file /usr/lib/php-cluster/haproxy-answers 0755 '#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/8404 || exit 1
printf "GET /.php-cluster/balancer HTTP/1.0\r\n\r\n" >&3
read -r -t 1 line <&3 && [[ $line == *" 200 "* ]]
' || true

if ! holds /etc/keepalived/keepalived.conf "$KEEPALIVED_CONF"; then
    candidate=$(mktemp)
    printf '%s' "$KEEPALIVED_CONF" >"$candidate"
    said=$(keepalived --use-file="$candidate" --config-test 2>&1) || fail "keepalived refuses its configuration: $said"
    rm "$candidate"
fi
put_file /etc/keepalived/keepalived.conf 0644 "$KEEPALIVED_CONF" || true
put_file /etc/systemd/system/keepalived.service.d/php-cluster.conf 0644 "[Unit]
After=haproxy.service
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=1
" || true
enabled_and_running keepalived reload
report "keepalived watches the other load balancer"
