# shellcheck shell=bash
# Creates the replicated volume, the article's `gluster volume create`.
#
# Input: VOLUME, LAYOUT ("replica 2", "replica 2 thin-arbiter 1"), BRICKS ("lb1:/session/brick …"), ARBITER ("php1:/folder", or
# empty).
# Postcondition: the volume exists with exactly these bricks. A new volume has the arbiter (volume-arbiter.sh gives it to one
# that exists). Output: the last line tells the volume's id. A second run changes nothing.

read -r -a layout <<<"$LAYOUT"

create() {
    local brick bricks said
    changing "creates $VOLUME"
    read -r -a bricks <<<"$BRICKS${ARBITER:+ $ARBITER}"
    for brick in "${bricks[@]}"; do
        # Without the name the create fails with a riddle.
        getent hosts "${brick%%:*}" >/dev/null || fail "the name ${brick%%:*} does not resolve"
    done
    said=$(gluster --mode=script volume create "$VOLUME" "${layout[@]}" transport tcp "${bricks[@]}" 2>&1) \
        || fail "volume create failed: $said"
}

if ! info=$(gluster --mode=script volume info "$VOLUME" 2>/dev/null); then
    create
    info=$(gluster --mode=script volume info "$VOLUME")
    done="volume $VOLUME created: $LAYOUT"
else
    done="volume $VOLUME exists: $LAYOUT"
fi
existing=$(awk '/^Brick[0-9]+: / { printf "%s%s", separator, $2; separator = " " }' <<<"$info")
[[ $existing == "$BRICKS" ]] || fail "volume $VOLUME has the bricks $existing; those of $BRICKS cannot be had from it"
report "$done, id $(sed --quiet 's/^Volume ID: //p' <<<"$info")"
