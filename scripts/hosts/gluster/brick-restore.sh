# shellcheck shell=bash
# Puts a brick back whose disk is new: the other bricks fill it.
#
# Input: VOLUME, BRICK.
# Postcondition: the brick carries the mark of its volume, as every brick of a volume does from its creation on. That it is
# filled is for volume-heal.sh to wait for. A brick with the mark is left alone. A second run changes nothing.

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

# take_back: the whole of it again when a part fails. The daemon looks for the folders of the bricks that it knows when it
# starts, and takes one that it has not found for a new one; the second half of a reset wants what the first has stopped.
# A restart cuts off whoever uses a brick of another volume here: that is why it is tried without when there is one.
take_back() {
    ! pgrep --exact glusterfsd >/dev/null || ! reset || return 0
    systemctl restart glusterd
    wait_until 60 "the pool is complete" everyone_sees_us
    reset
}
reset() {
    local brick
    brick=$(hostname):$BRICK
    # One that nobody has used for a while (volume-stop.sh): Gluster resets bricks of a volume that runs.
    [[ $(gluster --mode=script volume info "$VOLUME") == *"Status: Started"* ]] \
        || gluster --mode=script volume start "$VOLUME" force >/dev/null || return 1
    gluster --mode=script volume reset-brick "$VOLUME" "$brick" start \
        && gluster --mode=script volume reset-brick "$VOLUME" "$brick" "$brick" commit force
}

if ! is_marked; then
    changing "puts the empty brick $(hostname):$BRICK back into $VOLUME"
    # The others tell of it after they have met this machine again.
    wait_until 60 "$VOLUME is known here" gluster --mode=script volume info "$VOLUME"
    wait_until 180 "the brick is taken back" take_back
fi
report "brick $(hostname):$BRICK belongs to $VOLUME"
