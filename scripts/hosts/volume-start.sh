# shellcheck shell=bash
# Starts the volume, the article's `gluster volume start`, and waits until it is whole.
#
# Input: VOLUME, BRICK_HOSTS (the machines' identities: a new machine's brick has to be filled).
# Postcondition: the volume is started, every brick of it is reached, and nothing is left to heal.
# A second run changes nothing.

HEAL_SECONDS=3300

info=$(gluster --mode=script volume info "$VOLUME") || true
if [[ $'\n'$info$'\n' != *$'\nStatus: Started\n'* ]]; then
    changing "starts $VOLUME"
    said=$(gluster --mode=script volume start "$VOLUME" 2>&1) || fail "volume start failed: $said"
fi

# Asked the way a client asks. `volume status` would say more, but takes the whole pool's lock, and while a member that has
# just died is waited for, nobody else gets it.
summary() { timeout 60 gluster --mode=script volume heal "$VOLUME" info summary; }

all_reached() {
    local said
    said=$(summary 2>&1) || {
        tail --lines 1 <<<"$said"
        return 1
    }
    awk '/^Brick / { bricks++; brick = $2 } /^Status: / { if ($2 == "Connected") reached++; else print brick ": " substr($0, 9) }
         END { exit !(bricks > 0 && bricks == reached) }' <<<"$said"
}
wait_for_bricks() { wait_until 120 "all bricks of $VOLUME are reached" all_reached; }

if checking || ! unchanged; then
    wait_for_bricks
elif ! all_reached >/dev/null; then
    # A brick that has died while its daemon goes on stays dead until it is told to start.
    changing "starts what bricks do not run"
    timeout 60 gluster --mode=script volume start "$VOLUME" force >/dev/null 2>&1 || true
    wait_for_bricks
fi

# entries WHAT: how many entries all bricks together say to be WHAT, "heal pending" or "split-brain", in $answer.
entries() { awk -v what="in $1: " 'index($0, what) { entries += $NF } END { print entries + 0 }' <<<"$answer"; }

if ! checking; then
    deadline=$((SECONDS + HEAL_SECONDS)) told=$SECONDS
    while true; do
        answer=$(summary) || fail "cannot ask what waits to be healed: $(tail --lines 1 <<<"$answer")"
        left=$(entries "heal pending")
        ((left > 0)) || break
        ((SECONDS < deadline)) || fail "after ${HEAL_SECONDS} s $left entries of $VOLUME still wait to be healed"
        if ((SECONDS >= told + 2)); then
            echo "$left entries wait to be healed"
            told=$SECONDS
        fi
        sleep 0.5
    done
    left=$(entries split-brain)
    ((left == 0)) || fail "$left entries of $VOLUME are in split-brain: gluster volume heal $VOLUME info split-brain"
fi
report "volume $VOLUME is started, all bricks hold the same"
