# shellcheck shell=bash
# Makes HAProxy serve with the given configuration.
#
# Input: HAPROXY_CFG (text), TLS_PEM (certificate chain and key, or empty), TLS_PATH (where it belongs), DRAIN_SECONDS,
# MAINTENANCE_MAP, MAINTENANCE_PAGE (files of scripts/maintenance, which stay as it left them), MAINTENANCE_HTML (text),
# HAPROXY_DROP_IN (unit file).
# Postcondition: HAProxy is enabled and runs with this configuration; a wrong one is refused before it replaces anything, and
# one with which it cannot start is put back.
# A second run changes nothing. A change reloads: established connections are served to their end. A PHP node that leaves
# the list gets no new requests, and up to DRAIN_SECONDS to answer those that it has.

servers_of() { sed --quiet 's/^    server \([^ ]*\) .*:80$/\1/p' "$1" 2>/dev/null | sort --unique; }

# busy SERVERS: those of them that still have requests, with their number.
busy() {
    admin "show stat" | awk -F , -v servers=" $1 " '$1 ~ /^(php|in_turn|crowded-.*|waiting)$/ && index(servers, " " $2 " ") && $5 > 0 { print $2 " has " $5 }'
}

# set_state STATE SERVERS: of servers, wherever they are listed.
set_state() {
    local server
    for server in $2; do
        admin "$(printf "set server %s/$server state $1; " php in_turn waiting crowded-{0..7})" >/dev/null || return
    done
}

# drain SERVERS: keeps new requests away from them and waits for the last old one.
drain() {
    local servers deadline=$((SECONDS + DRAIN_SECONDS)) left
    servers=$(tr '\n' ' ' <<<"$1")
    changing "drains ${servers% }"
    # A daemon that does not run has nothing to drain.
    systemctl is-active --quiet haproxy || return 0
    set_state drain "$servers" || return 0
    while left=$(busy "$servers") && [[ -n $left ]]; do
        ((SECONDS < deadline)) || {
            echo "goes on after ${DRAIN_SECONDS} s although ${left//$'\n'/, } requests under way"
            return 0
        }
        sleep 0.2
    done
}

# accepts ADDRESS PORT: whether somebody listens there and lets this machine in.
# shellcheck disable=SC2016  # its own variables
accepts() { timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }

# can_check CONFIGURATION: whether a node that takes requests takes the questions of its health check, too. A firewall of
# somebody else's that lets only the first through would have HAProxy take all nodes out of service.
can_check() {
    local port address serves=
    port=$(sed --quiet 's/.* check port \([0-9]*\) .*/\1/p' "$1" | head --lines 1)
    while read -r address; do
        ! accepts "$address" "$port" || return 0
        ! accepts "$address" 80 || serves+=" $address"
    done < <(sed --quiet 's/^    server [^ ]* \(.*\):80$/\1/p' "$1" | sort --unique)
    [[ -z $serves ]] || fail "the PHP nodes at$serves answer at port 80 and not at $port: a firewall has to let both through"
}

if [[ -n $TLS_PEM ]]; then
    put_file "$TLS_PATH" 0600 "$TLS_PEM"
elif [[ -e $TLS_PATH ]]; then
    changing "removes $TLS_PATH"
    rm "$TLS_PATH"
fi
[[ -e $MAINTENANCE_MAP ]] || put_file "$MAINTENANCE_MAP" 0644 ""
[[ -e $MAINTENANCE_PAGE ]] || put_file "$MAINTENANCE_PAGE" 0644 "$MAINTENANCE_HTML"
mkdir -p /run/haproxy
leaving='' before=$(mktemp)
trap 'rm -f "$before"' EXIT
if ! holds /etc/haproxy/haproxy.cfg "$HAPROXY_CFG"; then
    candidate=$(mktemp)
    printf '%s' "$HAPROXY_CFG" >"$candidate"
    said=$(haproxy -c -q -f "$candidate" 2>&1) || fail "haproxy refuses its configuration: $said"
    can_check "$candidate"
    leaving=$(comm -23 <(servers_of /etc/haproxy/haproxy.cfg) <(servers_of "$candidate"))
    rm "$candidate"
    [[ -z $leaving ]] || drain "$leaving"
    [[ ! -e /etc/haproxy/haproxy.cfg ]] || cp --preserve=all /etc/haproxy/haproxy.cfg "$before"
fi
put_file /etc/haproxy/haproxy.cfg 0640 "$HAPROXY_CFG" root:haproxy
# Debian restarts it on failure, but gives up after a few: a balancer never gives up.
put_unit haproxy.service.d/php-cluster.conf "$HAPROXY_DROP_IN"
worker=$(haproxy_worker)
enabled_and_running haproxy reload
if ! unchanged && [[ -n $worker ]]; then
    said=$(await_reload "$worker") || {
        # A restart would find no configuration with which it starts.
        [[ ! -s $before ]] || mv "$before" /etc/haproxy/haproxy.cfg
        # What is told is why it does not start, also where the old one does not answer.
        set_state ready "$leaving" || true
        fail "haproxy cannot start with its new configuration, and goes on with the old one: $said"
    }
fi

answers() { curl --silent --fail --max-time 2 http://127.0.0.1:8404/.php-cluster/balancer; }
wait_until 30 "HAProxy answers" answers
report "HAProxy serves $(servers_of /etc/haproxy/haproxy.cfg | wc --lines) PHP nodes"
