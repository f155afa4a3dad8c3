# shellcheck shell=bash
# Takes a machine into the trusted storage pool, the article's `gluster peer probe`.
#
# Input: PEER (host name).
# Postcondition: this machine knows PEER by that name and sees it as `Peer in Cluster (Connected)`.
# A second run changes nothing.

# is_member PEER: whether Gluster's pool lists a machine under exactly this name.
is_member() {
    gluster --mode=script pool list | awk -v peer="$1" 'NR > 1 && $2 == peer { found = 1 } END { exit !found }'
}

# state_of PEER: its state as `peer status` words it, found by any of its names.
state_of() {
    gluster --mode=script peer status | awk -v peer="$1" '
        /^Hostname: / { known = ($2 == peer) }
        /^Other names:/ { other = 1; next }
        other && $1 == peer { found = 1 }
        /^State: / { state = substr($0, 8) }
        /^$/ { if (known || found) print last; known = found = other = 0 }
        { if (/^State: /) last = state }
        END { if (known || found) print last }'
}

connected() {
    local state
    state=$(state_of "$PEER")
    [[ $state == "Peer in Cluster (Connected)" ]] || {
        echo "$PEER is '${state:-no peer}'"
        return 1
    }
}

probe() {
    local said
    # A peer that is busy with another probe refuses for a moment.
    said=$(gluster --mode=script peer probe "$PEER" 2>&1) || {
        echo "$said"
        return 1
    }
}

if ! is_member "$PEER"; then
    changing "probes $PEER"
    wait_until 60 "$PEER joins the pool" probe
fi
# The probe returns before the peer has joined.
wait_until 60 "the pool is complete" connected
report "$PEER: Peer in Cluster (Connected)"
