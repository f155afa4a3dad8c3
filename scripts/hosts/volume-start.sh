# shellcheck shell=bash
# Starts the volume, the article's `gluster volume start`, and waits until it is whole.
#
# Input: VOLUME, BRICK_HOSTS (the machines' identities: a new machine's brick has to be filled).
# Postcondition: the volume is started, every brick of it is reached, and whatever a brick lacked when this began has been
# healed. A second run changes nothing.

HEAL_SECONDS=3300

looks=$(mktemp --directory)
trap 'rm -r "$looks"' EXIT

# look: asks what is left to heal, the way a client asks. `volume status` would say more of the bricks, but takes the whole
# pool's lock, and while a member that has just died is waited for, nobody else gets it.
look() {
    timeout 600 gluster --mode=script volume heal "$VOLUME" info >"$looks/answer" 2>&1 || {
        tail --lines 1 "$looks/answer"
        return 1
    }
}
all_reached() {
    look && awk '/^Brick / { bricks++; brick = $2 } /^Status: / { if ($2 == "Connected") reached++; else print brick ": " substr($0, 9) }
         END { exit !(bricks > 0 && bricks == reached) }' "$looks/answer"
}
# left_to_heal: the files that the last look has found, a line each, by name or by Gluster's own number.
left_to_heal() {
    sed --quiet --regexp-extended 's/ - (Is in split-brain|Possibly undergoing heal)$//; /^(\/|<gfid:)/p' "$looks/answer" | sort --unique
}

# wait_for_heal: waits until each of the files that are left to heal now has been seen well once. A site that is busy has
# others in the middle of a change whenever one looks, so to wait for an instant without any could take for ever.
wait_for_heal() {
    local left told=$SECONDS
    left_to_heal >"$looks/waiting"
    while [[ -s $looks/waiting ]]; do
        left=$(wc --lines <"$looks/waiting")
        ((SECONDS < deadline)) || fail "after ${HEAL_SECONDS} s $left entries of $VOLUME still wait to be healed"
        if ((SECONDS >= told + 2)); then
            echo "$left entries wait to be healed"
            told=$SECONDS
        fi
        sleep 0.5
        look >"$looks/problem" || fail "cannot ask what waits to be healed: $(<"$looks/problem")"
        left_to_heal | comm -12 "$looks/waiting" - >"$looks/still"
        mv "$looks/still" "$looks/waiting"
    done
}

info=$(gluster --mode=script volume info "$VOLUME") || true
if [[ $'\n'$info$'\n' != *$'\nStatus: Started\n'* ]]; then
    changing "starts $VOLUME"
    said=$(gluster --mode=script volume start "$VOLUME" 2>&1) || fail "volume start failed: $said"
elif ! checking && ! all_reached >/dev/null; then
    # A brick that has died while its daemon goes on stays dead until it is told to start.
    changing "starts what bricks do not run"
    timeout 60 gluster --mode=script volume start "$VOLUME" force >/dev/null 2>&1 || true
fi
wait_until 120 "all bricks of $VOLUME are reached" all_reached

if ! checking && [[ -n $(left_to_heal) ]]; then
    deadline=$((SECONDS + HEAL_SECONDS))
    wait_for_heal
    # The folder gets its missing names first, and only then are their contents known to be missing.
    look >"$looks/problem" || fail "cannot ask what waits to be healed: $(<"$looks/problem")"
    wait_for_heal
    split=$(grep --count 'Is in split-brain' "$looks/answer") || true
    ((split == 0)) || fail "$split entries of $VOLUME are in split-brain: gluster volume heal $VOLUME info split-brain"
fi
report "volume $VOLUME is started, all bricks hold the same"
