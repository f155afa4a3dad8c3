# shellcheck shell=bash
# Makes HAProxy serve with the given configuration.
#
# Input: HAPROXY_CFG (text), TLS_PEM (certificate chain and key, or empty), TLS_PATH (where it belongs).
# Postcondition: HAProxy is enabled and runs with this configuration; a wrong one is refused before it replaces anything.
# A second run changes nothing. A change reloads: established connections are served to their end.

if [[ -n $TLS_PEM ]]; then
    put_file "$TLS_PATH" 0600 "$TLS_PEM" || true
elif [[ -e $TLS_PATH ]]; then
    rm "$TLS_PATH"
    changed "removed $TLS_PATH"
fi
mkdir -p /run/haproxy
candidate=$(mktemp)
printf '%s' "$HAPROXY_CFG" >"$candidate"
said=$(haproxy -c -q -f "$candidate" 2>&1) || fail "haproxy refuses its configuration: $said"
rm "$candidate"
put_file /etc/haproxy/haproxy.cfg 0640 "$HAPROXY_CFG" root:haproxy || true
# Debian restarts it on failure, but gives up after a few: a balancer never gives up.
put_file /etc/systemd/system/haproxy.service.d/php-cluster.conf 0644 "[Unit]
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=1
" && systemctl daemon-reload
enabled_and_running haproxy reload

answers() { curl --silent --fail --max-time 2 http://127.0.0.1:8404/.php-cluster/balancer; }
wait_until 30 "HAProxy answers" answers
report "HAProxy serves $(grep --count '^    server ' /etc/haproxy/haproxy.cfg) PHP nodes"
