# shellcheck shell=bash
# Packets that are lost between machines: rules on the stack's bridge, with the way FROM>TO as their comment. Needs lib.sh
# and LAB. The table is there while packets are to be lost, and no longer.

DROPS=php-cluster-$LAB

# drop_packets FROM TO PERCENT: in place of what was lost on that way before.
drop_packets() {
    local chain chains=(forward) match=() chance=()
    forget_drops "$1>$2"
    nft --file - <<RULES
table bridge $DROPS {
    chain forward { type filter hook forward priority filter; }
    chain input { type filter hook input priority filter; }
    chain output { type filter hook output priority filter; }
}
RULES
    [[ $1 == all ]] || match+=(iifname "vb-$LAB-$1")
    [[ $2 == all ]] || match+=(oifname "vb-$LAB-$2")
    (($3 == 100)) || chance=(numgen random mod 100 '<' "$3")
    # This box talks to its machines too, but is no port of the bridge.
    [[ $1 == all ]] && chains+=(output)
    [[ $2 == all ]] && chains+=(input)
    for chain in "${chains[@]}"; do
        nft add rule bridge "$DROPS" "$chain" "${match[@]}" "${chance[@]}" drop comment "\"$1>$2\""
    done
}

# drops: the ways on which packets are lost.
drops() { nft list table bridge "$DROPS" 2>/dev/null | sed --quiet 's/.*comment "\(.*\)".*/\1/p' | sort --unique; }

# forget_drops WAY: nothing more is lost on that way.
forget_drops() {
    local chain handle
    for chain in forward input output; do
        for handle in $(nft --handle list chain bridge "$DROPS" "$chain" 2>/dev/null | sed --quiet "s/.*comment \"$1\" # handle //p"); do
            nft delete rule bridge "$DROPS" "$chain" handle "$handle"
        done
    done
    [[ -n $(drops) ]] || nft delete table bridge "$DROPS" 2>/dev/null || true
}

# forget_drops_of MACHINE: nothing more is lost on its ways.
forget_drops_of() {
    local way
    for way in $(drops); do
        if [[ $way == "$1>"* || $way == *">$1" ]]; then forget_drops "$way"; fi
    done
}
