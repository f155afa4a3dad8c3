# shellcheck shell=bash
# Has the balancer that holds the floating IP ask the CA for a certificate at once.
#
# Input: NAMES, DIRECTORY (what is asked for, and of whom).
# Postcondition: it was asked for. What the CA refuses it may grant later, once DNS has the names, say: this is told, and no
# failure; acme-certificate asks again. A second run changes nothing.

failed=/var/lib/php-cluster/acme/failed
if ! checking && ! said=$(/usr/lib/php-cluster/acme-certificate now 2>&1); then
    read -r _ why <"$failed" || why=$said
    report "no new certificate of $NAMES yet: $why"
else
    report "$DIRECTORY is asked for a certificate of $NAMES"
fi
