# shellcheck shell=bash
# Makes a load balancer the way out for machines without public addresses.
#
# Input: NETWORK (whose machines it serves), ROUTER_SERVICE (unit file).
# Postcondition: what comes from NETWORK and leaves it goes out under this machine's own address, now and after a reboot.
# A second run changes nothing.

if ! command -v nft >/dev/null; then
    changing "installs nftables"
    apt_get update || fail "apt-get update failed; can this machine reach its package mirror?"
    apt_get install --no-install-recommends nftables \
        || fail "apt-get could not install nftables"
fi
put_file /etc/sysctl.d/60-php-cluster-router.conf 0644 "net.ipv4.ip_forward = 1
"
if [[ $(sysctl --values net.ipv4.ip_forward) != 1 ]]; then
    changing "forwards packets"
    sysctl --quiet --load /etc/sysctl.d/60-php-cluster-router.conf
fi
put_file /etc/php-cluster/router.nft 0644 "table ip php_cluster_router
delete table ip php_cluster_router
table ip php_cluster_router {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr $NETWORK ip daddr != $NETWORK masquerade
    }
}
"
put_unit php-cluster-router.service "$ROUTER_SERVICE"
enabled_and_running php-cluster-router restart
report "routes for $NETWORK"
