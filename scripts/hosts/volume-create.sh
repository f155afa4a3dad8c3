# shellcheck shell=bash
# Creates the replicated volume, the article's `gluster volume create`, and gives one that exists another layout.
#
# Input: VOLUME, LAYOUT ("replica 2", "replica 3 arbiter 1"), BRICKS ("lb1:/session/brick …", an arbiter's last), NO_BRICKS
# (names of members that a layout without an arbiter does not need any more).
# Postcondition: the volume exists with exactly these bricks and this layout; members of NO_BRICKS have left the pool. Of a
# volume that exists, only an arbiter's brick is added or removed, when all its bricks are reached.
# A second run changes nothing.

read -r -a layout <<<"$LAYOUT"

create() {
    local brick bricks said
    changing "creates $VOLUME"
    read -r -a bricks <<<"$BRICKS"
    for brick in "${bricks[@]}"; do
        # Without the name the create fails with a riddle.
        getent hosts "${brick%%:*}" >/dev/null || fail "the name ${brick%%:*} does not resolve"
    done
    said=$(gluster --mode=script volume create "$VOLUME" "${layout[@]}" transport tcp "${bricks[@]}" 2>&1) \
        || fail "volume create failed: $said"
}

# change_layout VERB BRICK [WORD]: adds or removes one brick.
change_layout() {
    local verb=$1 brick=$2 said
    [[ $brick != *" "* ]] || fail "volume $VOLUME has the bricks $existing; those of $BRICKS cannot be had from it"
    if [[ $'\n'$info$'\n' == *$'\nStatus: Started\n'* ]]; then
        wait_until 60 "all bricks of $VOLUME are reached (if one is lost for good, go back to the profile of before, mend it with \`pulumi up\`, and change the profile then)" all_reached
    fi
    said=$(gluster --mode=script volume "$verb" "$VOLUME" "${layout[@]}" "$brick" ${3+"$3"} 2>&1) || fail "volume $verb $brick failed: $said"
}

if ! info=$(gluster --mode=script volume info "$VOLUME" 2>/dev/null); then
    create
    done="volume $VOLUME created: $LAYOUT"
else
    existing=$(awk '/^Brick[0-9]+: / { printf "%s%s", separator, $2; separator = " " }' <<<"$info")
    done="volume $VOLUME exists: $LAYOUT"
    if [[ $existing == "$BRICKS" ]]; then
        :
    elif [[ $BRICKS == "$existing "* ]]; then
        changing "adds ${BRICKS#"$existing "} to $VOLUME: $LAYOUT"
        change_layout add-brick "${BRICKS#"$existing "}"
    elif [[ $existing == "$BRICKS "* ]]; then
        changing "removes ${existing#"$BRICKS "} from $VOLUME: $LAYOUT"
        change_layout remove-brick "${existing#"$BRICKS "}" force
    else
        fail "volume $VOLUME has the bricks $existing; those of $BRICKS cannot be had from it"
    fi
fi
for member in $NO_BRICKS; do
    if is_member "$member"; then
        changing "lets $member leave the pool"
        said=$(gluster --mode=script peer detach "$member" 2>&1) || fail "peer detach $member failed: $said"
    fi
done
report "$done"
