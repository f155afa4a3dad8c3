# shellcheck shell=bash
# Waits until one of the load balancers takes visitors at the floating IPv6 address. Changes nothing.
#
# Input: FLOATING_IP6. Postcondition: the address takes connections to the site.

# shellcheck disable=SC2016  # its own variable
takes() { timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/80"' "$FLOATING_IP6" 2>/dev/null; }
wait_until 60 "a load balancer takes connections at $FLOATING_IP6" takes
report "$FLOATING_IP6 takes connections"
