# shellcheck shell=bash
# Whether this load balancer holds the floating IP; read before the scripts that ask it over SSH.
#
# Input: FLOATING_IP, FLOATING_IP6 (empty: there is none).

# An Elastic IP is on no interface; the network's API tells who has it.
holds_floating_ip() {
    if [[ -e /usr/lib/php-cluster/elastic-ip ]]; then
        [[ $(timeout 2 /usr/lib/php-cluster/elastic-ip holder) == "$(hostname)" ]]
    else
        [[ -n $(ip -4 address show to "$FLOATING_IP") ]]
    fi
}

holds_floating_ip6() { [[ -n $FLOATING_IP6 && -n $(ip -6 address show to "$FLOATING_IP6") ]]; }
