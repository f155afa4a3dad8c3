# shellcheck shell=bash
# Waits until this load balancer sees every PHP node in service. Changes nothing.
#
# Input: PHP_NODES (names). Postcondition: HAProxy's own health checks find each of them up.

all_up() {
    local state down=
    state=$(admin "show stat")
    for node in $PHP_NODES; do
        grep --quiet "^php,$node,.*,UP," <<<"$state" || down+=" $node"
    done
    [[ -z $down ]] || {
        echo "not in service:$down"
        return 1
    }
}
wait_until 90 "all PHP nodes are in service" all_up
report "in service: $PHP_NODES"
