# shellcheck shell=bash
# Waits until one of the load balancers answers on the floating IP. Changes nothing.
#
# Input: FLOATING_IP. Postcondition: the address answers; its owner is named.

owner() { curl --silent --fail --max-time 2 --connect-timeout 0.3 "http://$FLOATING_IP:8404/.php-cluster/balancer" >/dev/null; }
wait_until 60 "a load balancer answers on $FLOATING_IP" owner
report "$FLOATING_IP answers"
