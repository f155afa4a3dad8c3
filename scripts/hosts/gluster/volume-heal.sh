# shellcheck shell=bash
# Waits until the volume is whole, beside the nodes' mounts. Changes nothing.
#
# Input: VOLUME, BRICK_HOSTS (the machines' identities: a new machine's brick has to be filled), LAYOUT (for another one bricks are
# started anew).
# Postcondition: all who use the volume are connected to all bricks, and whatever a brick lacked when this began has been healed.

HEAL_SECONDS=3300

looks=$(mktemp --directory)
trap 'rm -r "$looks"' EXIT

# look: asks what is left to heal.
look() {
    timeout 600 gluster --mode=script volume heal "$VOLUME" info >"$looks/answer" 2>&1 \
        || fail "cannot ask what waits to be healed: $(tail --lines 1 "$looks/answer")"
}
# left_to_heal: the files that the last look has found, a line each, by name or by Gluster's own number.
left_to_heal() {
    sed --quiet --regexp-extended 's/ - (Is in split-brain|Possibly undergoing heal)$//; /^(\/|<gfid:)/p' "$looks/answer" | sort --unique
}

# wait_for_heal: waits until each of the files that are left to heal now has been seen well once. A site that is busy has
# others in the middle of a change whenever one looks, so to wait for an instant without any could take for ever.
wait_for_heal() {
    local left told=$SECONDS fewest=0 progress=$SECONDS
    left_to_heal >"$looks/waiting"
    # Without being asked, the self-heal daemon looks every cluster.heal-timeout, ten minutes by default.
    [[ ! -s $looks/waiting ]] || gluster --mode=script volume heal "$VOLUME" >/dev/null 2>&1 || true
    while [[ -s $looks/waiting ]]; do
        left=$(wc --lines <"$looks/waiting")
        ((SECONDS < deadline)) || fail "after ${HEAL_SECONDS} s $left entries of $VOLUME still wait to be healed"
        ((fewest > 0 && left >= fewest)) || fewest=$left progress=$SECONDS
        # After a power cut one brick may have a name that the other one has long given up, and Gluster by itself never asks
        # for it there. It holds no other content, and who looks it up heals it (docs/shared-files.md).
        if [[ $VOLUME != sessions ]] && ((SECONDS >= progress + 30)); then
            echo "$left entries of $VOLUME stay until somebody looks them up: $(head --lines 5 "$looks/waiting" | tr '\n' ' ')"
            return
        fi
        if ((SECONDS >= told + 2)); then
            echo "$left entries wait to be healed"
            told=$SECONDS
        fi
        sleep 0.5
        look
        left_to_heal | comm -12 "$looks/waiting" - >"$looks/still"
        mv "$looks/still" "$looks/waiting"
    done
}

if ! checking; then
    deadline=$((SECONDS + HEAL_SECONDS))
    wait_until 120 "all who use $VOLUME are connected to all bricks" all_connected
    look
    if [[ -n $(left_to_heal) ]]; then
        wait_for_heal
        # The folder gets its missing names first, and only then are their contents known to be missing.
        look
        wait_for_heal
        split=$(grep --count 'Is in split-brain' "$looks/answer") || true
        ((split == 0)) || fail "$split entries of $VOLUME are in split-brain: gluster volume heal $VOLUME info split-brain"
    fi
fi
report "volume $VOLUME is whole, all bricks hold the same"
