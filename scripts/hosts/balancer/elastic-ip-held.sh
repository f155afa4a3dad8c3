# shellcheck shell=bash
# Waits until one of the load balancers has the Elastic IP. Changes nothing.
#
# Input: FLOATING_IP. Postcondition: the network's API names its holder.

wait_until 60 "a load balancer has $FLOATING_IP" /usr/lib/php-cluster/elastic-ip holder
report "$FLOATING_IP is with $(/usr/lib/php-cluster/elastic-ip holder)"
