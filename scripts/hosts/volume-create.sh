# shellcheck shell=bash
# Creates the replicated volume, the article's `gluster volume create`.
#
# Input: VOLUME, LAYOUT ("replica 2", "replica 3 arbiter 1"), BRICKS ("lb1:/session/brick …").
# Postcondition: the volume exists with exactly these bricks and this layout. It is never changed or removed here.
# A second run changes nothing.

if info=$(gluster --mode=script volume info "$VOLUME" 2>/dev/null); then
    existing=$(awk '/^Brick[0-9]+: / { printf "%s%s", separator, $2; separator = " " }' <<<"$info")
    [[ $existing == "$BRICKS" ]] \
        || fail "volume $VOLUME has the bricks $existing instead of $BRICKS; changing the profile of a living volume is not supported: destroy the stack first"
    report "volume $VOLUME exists"
else
    changing "creates $VOLUME"
    read -r -a bricks <<<"$BRICKS"
    read -r -a layout <<<"$LAYOUT"
    for brick in "${bricks[@]}"; do
        # Without the name the create fails with a riddle.
        getent hosts "${brick%%:*}" >/dev/null || fail "the name ${brick%%:*} does not resolve"
    done
    said=$(gluster --mode=script volume create "$VOLUME" "${layout[@]}" transport tcp "${bricks[@]}" 2>&1) \
        || fail "volume create failed: $said"
    report "volume $VOLUME created: $LAYOUT"
fi
