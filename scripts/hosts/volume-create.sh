# shellcheck shell=bash
# Creates the replicated volume, the article's `gluster volume create`, and gives one that exists another layout.
#
# Input: VOLUME, LAYOUT ("replica 2", "replica 2 thin-arbiter 1"), BRICKS ("lb1:/session/brick …"), ARBITER ("php1:/folder", or
# empty), NO_BRICKS (names of members of the pool that hold no brick any more).
# Postcondition: the volume exists with exactly these bricks; members of NO_BRICKS have left the pool. A new volume has the
# arbiter (volume-arbiter.sh gives it to one that exists). From one that exists only a third brick is taken, and only when all
# its bricks are reached. Output: the last line tells the volume's id. A second run changes nothing.

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

is_started() { [[ $'\n'$info$'\n' == *$'\nStatus: Started\n'* ]]; }

# remove_brick BRICK: the arbiter's of a cluster that was made when it had one, with names and versions and no data.
remove_brick() {
    local said
    [[ $1 != *" "* ]] || fail "volume $VOLUME has the bricks $existing; those of $BRICKS cannot be had from it"
    ! is_started || wait_until 60 "all bricks of $VOLUME are reached" all_reached
    said=$(gluster --mode=script volume remove-brick "$VOLUME" replica 2 "$1" force 2>&1) || fail "volume remove-brick $1 failed: $said"
}

if ! info=$(gluster --mode=script volume info "$VOLUME" 2>/dev/null); then
    create
    info=$(gluster --mode=script volume info "$VOLUME")
    done="volume $VOLUME created: $LAYOUT"
else
    done="volume $VOLUME exists: $LAYOUT"
fi
existing=$(awk '/^Brick[0-9]+: / { printf "%s%s", separator, $2; separator = " " }' <<<"$info")
if [[ $existing == "$BRICKS "* ]]; then
    changing "removes ${existing#"$BRICKS "} from $VOLUME: $LAYOUT"
    remove_brick "${existing#"$BRICKS "}"
elif [[ $existing != "$BRICKS" ]]; then
    fail "volume $VOLUME has the bricks $existing; those of $BRICKS cannot be had from it"
fi
for member in $NO_BRICKS; do
    if is_member "$member"; then
        changing "lets $member leave the pool"
        said=$(gluster --mode=script peer detach "$member" 2>&1) || fail "peer detach $member failed: $said"
    fi
    forget_steps "*-peer-probe-$member"
done
report "$done, id $(sed --quiet 's/^Volume ID: //p' <<<"$info")"
