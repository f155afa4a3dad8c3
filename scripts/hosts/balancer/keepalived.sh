# shellcheck shell=bash
# Makes keepalived watch the other load balancer and HAProxy, and own the floating IP when it is due.
#
# Input: KEEPALIVED_CONF, WATCH_BALANCER (texts), FLOATING_IP, PEER (the other balancer's name), WITNESS (address of a PHP node),
# ADDRESS (the machine's own: the interface that has it is @INTERFACE@ in the text), BALANCER_SERVICE, KEEPALIVED_DROP_IN (unit
# files).
# Postcondition: keepalived is enabled and runs with this configuration. A wrong one is refused before it replaces anything.
# A second run changes nothing.

interface=$(ip -oneline -4 address show to "$ADDRESS" | awk '{ print $2; exit }')
[[ -n $interface ]] || fail "no interface has the address $ADDRESS"
KEEPALIVED_CONF=${KEEPALIVED_CONF//@INTERFACE@/$interface}

put_file /usr/lib/php-cluster/watch-balancer 0755 "$WATCH_BALANCER"
put_unit php-cluster-balancer.service "$BALANCER_SERVICE" PEER FLOATING_IP WITNESS
enabled_and_running php-cluster-balancer restart

if ! holds /etc/keepalived/keepalived.conf "$KEEPALIVED_CONF"; then
    candidate=$(mktemp)
    printf '%s' "$KEEPALIVED_CONF" >"$candidate"
    said=$(keepalived --use-file="$candidate" --config-test 2>&1) || fail "keepalived refuses its configuration: $said"
    rm "$candidate"
fi
put_file /etc/keepalived/keepalived.conf 0644 "$KEEPALIVED_CONF"
put_unit keepalived.service.d/php-cluster.conf "$KEEPALIVED_DROP_IN"
enabled_and_running keepalived reload
report "keepalived watches the other load balancer"
