# shellcheck shell=bash
# Puts a brick back whose disk is new: the other bricks fill it.
#
# Input: VOLUME, BRICK.
# Postcondition: the brick carries the mark of its volume, as every brick of a volume does from its creation on. That it is
# filled is for volume-start.sh to wait for. A brick with the mark is left alone. A second run changes nothing.

is_marked() { getfattr --name=trusted.glusterfs.volume-id "$BRICK" >/dev/null 2>&1; }

# everyone_sees_us: whether all members are connected to this one, by their word too: a member that does not see the others
# yet lets half of a reset through.
everyone_sees_us() {
    local name listing
    [[ $(gluster --mode=script pool list) != *Disconnected* ]] || return 1
    for name in $(gluster --mode=script pool list | awk 'NR > 1 && $2 != "localhost" { print $2 }'); do
        listing=$(timeout 10 gluster --remote-host="$name" --mode=script pool list) || return 1
        [[ $listing != *Disconnected* && $listing == *$(hostname)* ]] || {
            echo "$name does not see all members"
            return 1
        }
    done
}

# Both halves again when one fails: the second wants a brick that the first has stopped.
reset_brick() {
    local brick
    brick=$(hostname):$BRICK
    gluster --mode=script volume reset-brick "$VOLUME" "$brick" start \
        && gluster --mode=script volume reset-brick "$VOLUME" "$brick" "$brick" commit force
}

if ! is_marked; then
    changing "puts the empty brick $(hostname):$BRICK back into $VOLUME"
    # The daemon looks for the folders of its bricks when it starts. None of them runs here, so nobody is cut off.
    systemctl restart glusterd
    wait_until 90 "the pool is complete" everyone_sees_us
    wait_until 90 "the brick is taken back" reset_brick
fi
report "brick $(hostname):$BRICK belongs to $VOLUME"
