# shellcheck shell=bash
# Takes a brick host's ports from PHP nodes that have left.
#
# Input: PACKET_FILTER (nftables rules).
# Postcondition: exactly these rules hold, loaded by the unit that install.sh has made.
# A second run changes nothing.

put_file /etc/php-cluster/packet-filter.nft 0644 "$PACKET_FILTER"
enabled_and_running php-cluster-packet-filter restart
report "no strangers at the brick"
