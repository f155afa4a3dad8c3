# shellcheck shell=bash
# Marks a machine as one of a stack. Runs there, as root.
#
# Input: NAME, STACK (for people), OWNER (the stack's own word), LEAVE (text of scripts/existing/leave).
# Postcondition: /etc/php-cluster/owner names OWNER, and tells what is to be put back; /usr/lib/php-cluster/leave is there.
# A machine that has another mark is refused. A second run changes nothing.

set -euo pipefail
# Whatever root has here: daemons with users of their own enter these folders.
umask 022
mark=/etc/php-cluster/owner leave=/usr/lib/php-cluster/leave
mkdir -p /etc/php-cluster /usr/lib/php-cluster
text=$(printf '%s\n' "OWNER=$OWNER" "STACK=$STACK" "HOST_NAME=$(hostname)")
# noclobber: of two stacks that come at once, one is the first.
if ! (set -o noclobber && echo "$text" >"$mark") 2>/dev/null; then
    if ! grep --quiet --line-regexp --fixed-strings "OWNER=$OWNER" "$mark"; then
        echo "$NAME belongs to the stack $(sed --quiet 's/^STACK=//p' "$mark"): destroy that one first. If its state is lost, run $leave there" >&2
        exit 1
    fi
    said="is one of the stack already"
fi
if [[ ! -f $leave || $(<"$leave") != "$LEAVE" ]]; then
    printf '%s\n' "$LEAVE" >"$leave.new"
    chmod 755 "$leave.new"
    mv "$leave.new" "$leave"
fi
echo "$NAME ${said:-is one of the stack $STACK now}"
