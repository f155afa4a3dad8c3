# shellcheck shell=bash
# Creates the replicated volume, the article's `gluster volume create`, and gives one that exists another layout.
#
# Input: VOLUME, LAYOUT ("replica 2", "replica 2 thin-arbiter 1"), BRICKS ("lb1:/session/brick …"), ARBITER ("php1:/folder", or
# empty), ARBITER_PORT, NO_BRICKS (names of members of the pool that hold no brick any more).
# Postcondition: the volume exists with exactly these bricks and this arbiter; members of NO_BRICKS have left the pool. From a
# volume that exists only a third brick is taken, and only when all its bricks are reached; the arbiter comes and goes.
# A second run changes nothing.

read -r -a layout <<<"$LAYOUT"
home=/var/lib/glusterd/vols/$VOLUME
# Gluster looks for an arbiter at the port of its daemon, unless this option says another one.
port_option=client.ta-brick-port

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

# bricks_of and arbiter_of: what the text of `volume info` says.
bricks_of() { awk '/^Brick[0-9]+: / { printf "%s%s", separator, $2; separator = " " }' <<<"$1"; }
arbiter_of() { sed --quiet 's/^Thin-arbiter-path: //p' <<<"$1"; }
is_started() { [[ $'\n'$info$'\n' == *$'\nStatus: Started\n'* ]]; }

# remove_brick BRICK: the arbiter's of a cluster that was made when it had one, with names and versions and no data.
remove_brick() {
    local said
    [[ $1 != *" "* ]] || fail "volume $VOLUME has the bricks $existing; those of $BRICKS cannot be had from it"
    ! is_started || wait_until 60 "all bricks of $VOLUME are reached" all_reached
    said=$(gluster --mode=script volume remove-brick "$VOLUME" replica 2 "$1" force 2>&1) || fail "volume remove-brick $1 failed: $said"
}

# daemon_answers: the daemon is started where an interrupted run has stopped it.
daemon_answers() {
    systemctl start glusterd
    gluster --mode=script pool list
}

# everyone_agrees: whether all members know the arbiter that is wanted.
everyone_agrees() {
    local member told
    for member in $(gluster --mode=script pool list | awk 'NR > 1 && $2 != "localhost" { print $2 }'); do
        told=$(timeout 10 gluster --remote-host="$member" --mode=script volume info "$VOLUME") || return 1
        [[ $(arbiter_of "$told") == "$ARBITER" ]] || {
            echo "$member does not know it yet"
            return 1
        }
    done
}

# write_volume: the daemon's own note of the volume, with the arbiter that is wanted, and as the next version of it.
write_volume() {
    local named=${ARBITER//\//-}
    rm -f "$home/info.new"
    if [[ -n $ARBITER ]]; then
        printf '%s\n' uuid=00000000-0000-0000-0000-000000000000 "hostname=${ARBITER%%:*}" "path=${ARBITER#*:}" \
            "real_path=${ARBITER#*:}" listen-port=0 rdma.listen-port=0 decommissioned=0 "brick-id=$VOLUME-ta-2" snap-status=0 \
            brick-fsid=0 >"$home/bricks/$named"
    fi
    awk -F = -v arbiter="$named" '
        /^version=/ { print "version=" $2 + 1; next }
        /^(thin_arbiter_count|ta-brick-[0-9]+)=/ { next }
        { print }
        /^tier-enabled=/ { print "thin_arbiter_count=" (arbiter != "") }
        /^brick-1=/ && arbiter != "" { print "ta-brick-0=" arbiter }' "$home/info" >"$home/info.new"
    grep --quiet '^thin_arbiter_count=' "$home/info.new" || fail "cannot tell how Gluster notes its volumes: $home/info"
    sync "$home/info.new"
    mv "$home/info.new" "$home/info"
}

# change_arbiter: gives the volume the arbiter, or takes it. Gluster 10 can do that at the creation only. But what it knows of a
# volume is a file, which a daemon reads when it starts; a member that hears of a higher version takes that over. Meanwhile
# the bricks of this machine go on without their daemon, and that of the other one is started anew.
change_arbiter() {
    local unit=/run/systemd/system/glusterd.service.d/php-cluster-bricks-go-on.conf
    ! is_started || wait_until 60 "all bricks of $VOLUME are reached" all_reached
    mkdir -p "$(dirname "$unit")"
    printf '[Service]\nKillMode=process\n' >"$unit"
    systemctl daemon-reload
    systemctl stop glusterd
    write_volume
    systemctl start glusterd
    rm "$unit"
    systemctl daemon-reload
    wait_until 60 "glusterd answers" daemon_answers
}

checking || wait_until 60 "glusterd answers" daemon_answers
if ! info=$(gluster --mode=script volume info "$VOLUME" 2>/dev/null); then
    create
    info=$(gluster --mode=script volume info "$VOLUME")
    done="volume $VOLUME created: $LAYOUT"
else
    done="volume $VOLUME exists: $LAYOUT"
fi
existing=$(bricks_of "$info")
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
done
if [[ $(arbiter_of "$info") != "$ARBITER" ]]; then
    changing "$([[ -n $ARBITER ]] && echo "gives $VOLUME the arbiter $ARBITER" || echo "takes its arbiter from $VOLUME")"
    change_arbiter
fi
# Clients hear of an arbiter along with an option.
wanted_port=${ARBITER:+$ARBITER_PORT}
port=$(sed --quiet "s/^$port_option: //p" <<<"$info")
if [[ $port != "$wanted_port" ]]; then
    changing "tells the volume's clients"
    checking || wait_until 60 "the members know the same arbiter" everyone_agrees
    if [[ -n $wanted_port ]]; then
        said=$(gluster --mode=script volume set "$VOLUME" "$port_option" "$wanted_port" 2>&1) || fail "volume set failed: $said"
    else
        said=$(gluster --mode=script volume reset "$VOLUME" "$port_option" 2>&1) || fail "volume reset failed: $said"
    fi
    ! is_started || wait_until 60 "all bricks of $VOLUME are reached" all_reached
fi
report "$done"
