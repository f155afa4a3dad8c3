# shellcheck shell=bash
# Has HAProxy answer visitors with the page for maintenance, or no more; scripts/maintenance runs it on each load balancer.
#
# Input: RETRY_AFTER (seconds; empty: off), PAGE (HTML; empty: the page that is there), MAINTENANCE_MAP, MAINTENANCE_PAGE (their
# files). Postcondition: HAProxy does so at once, and after a restart. A second run changes nothing.

set -euo pipefail

fail() {
    echo "$(hostname): $1" >&2
    exit 1
}

admin() { echo "$1" | socat - UNIX-CONNECT:/run/haproxy/admin.sock; }

# write FILE TEXT: all of it or nothing; fails when the file has this text already.
write() {
    [[ $(<"$1") != "$2" ]] || return 1
    printf '%s\n' "$2" >"$1.new"
    chmod 644 "$1.new"
    mv "$1.new" "$1"
}

[[ -e $MAINTENANCE_MAP ]] || fail "its HAProxy knows of no maintenance yet: pulumi up"
if [[ -z $RETRY_AFTER ]]; then
    [[ ! -s $MAINTENANCE_MAP ]] || : >"$MAINTENANCE_MAP"
else
    write "$MAINTENANCE_MAP" "retry-after $RETRY_AFTER" || true
fi
# One that does not run reads the files when it starts.
systemctl is-active --quiet haproxy || exit 0
if [[ -z $RETRY_AFTER ]]; then
    admin "clear map $MAINTENANCE_MAP" >/dev/null
    exit 0
fi
# Before a reload: what is left of the old process answers with the page that it has, and not with the site.
[[ $(admin "set map $MAINTENANCE_MAP retry-after $RETRY_AFTER") != *"not found"* ]] \
    || admin "add map $MAINTENANCE_MAP retry-after $RETRY_AFTER" >/dev/null
if [[ -n $PAGE ]] && write "$MAINTENANCE_PAGE" "$PAGE"; then
    systemctl reload haproxy || fail "HAProxy does not take the page: $(haproxy -c -q -f /etc/haproxy/haproxy.cfg 2>&1 | tail --lines=1)"
fi
