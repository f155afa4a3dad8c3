# shellcheck shell=bash
# Gives the volume its arbiter, or takes it.
#
# Input: VOLUME, ARBITER ("php1:/folder", or empty), ARBITER_PORT, BRICKS_GO_ON_DROP_IN (unit file).
# Postcondition: all members of the pool know the volume with this arbiter and no other, its clients have been told, and all its
# bricks are reached if it was started. A second run changes nothing; one that was interrupted is finished.

home=/var/lib/glusterd/vols/$VOLUME
# Gluster looks for an arbiter at the port of its daemon, unless this option says another one.
port_option=client.ta-brick-port
bricks_go_on=/run/systemd/system/glusterd.service.d/php-cluster-bricks-go-on.conf

arbiter_of() { sed --quiet 's/^Thin-arbiter-path: //p' <<<"$1"; }

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
    # The port comes along: the self-heal daemon hears of the arbiter at once, and would ask whatever listens at another one.
    awk -F = -v arbiter="$named" -v port="$port_option=$ARBITER_PORT" '
        /^version=/ { print "version=" $2 + 1; next }
        /^(thin_arbiter_count|ta-brick-[0-9]+|client\.ta-brick-port)=/ { next }
        /^brick-0=/ && arbiter != "" { print port }
        { print }
        /^tier-enabled=/ { print "thin_arbiter_count=" (arbiter != "") }
        /^brick-1=/ && arbiter != "" { print "ta-brick-0=" arbiter }' "$home/info" >"$home/info.new"
    sync "$home/info.new"
    mv "$home/info.new" "$home/info"
}

# change_arbiter: gives the volume the arbiter, or takes it. Gluster 10 can do that at the creation only. But what it knows of a
# volume is a file, which a daemon reads when it starts; a member that hears of a higher version takes that over. Meanwhile
# the brick of this machine goes on without its daemon, and that of the other one is started anew.
change_arbiter() {
    { grep --quiet '^tier-enabled=' "$home/info" && grep --quiet '^brick-1=' "$home/info"; } \
        || fail "this version of Gluster notes its volumes in another way than php-cluster knows: $home/info"
    ! is_started "$info" || wait_until 60 "all bricks of $VOLUME are reached" all_reached
    mkdir -p "$(dirname "$bricks_go_on")"
    printf '%s' "$BRICKS_GO_ON_DROP_IN" >"$bricks_go_on"
    systemctl daemon-reload
    systemctl stop glusterd
    write_volume
    systemctl start glusterd
    take_back_unit
    wait_until 60 "glusterd answers" daemon_answers
}

# clients_were_told: whether what clients get of the volume has the arbiter that is wanted, at its port.
clients_were_told() {
    local told
    told=$(sed --quiet "/^volume $VOLUME-ta-2\$/,/^end-volume/p" "$home/$VOLUME.tcp-fuse.vol")
    if [[ -n $ARBITER ]]; then
        [[ $told == *" remote-port $ARBITER_PORT"* && $told == *" remote-subvolume ${ARBITER#*:}"* ]]
    else
        [[ -z $told ]]
    fi
}

# take_back_unit: from now on the bricks end with the daemon again, as Debian has it.
take_back_unit() {
    rm -f "$bricks_go_on"
    systemctl daemon-reload
}

[[ ! -e $bricks_go_on ]] || {
    changing "ends what an interrupted run left"
    take_back_unit
}
checking || wait_until 60 "glusterd answers" daemon_answers
info=$(gluster --mode=script volume info "$VOLUME") || fail "there is no volume $VOLUME"
if [[ $(arbiter_of "$info") != "$ARBITER" ]]; then
    changing "$([[ -n $ARBITER ]] && echo "gives $VOLUME the arbiter $ARBITER" || echo "takes its arbiter from $VOLUME")"
    change_arbiter
fi
if ! clients_were_told; then
    changing "tells the volume's clients"
    wait_until 60 "the members know the same arbiter" everyone_agrees
    # Whichever option is set: with it, all members write anew what clients get.
    said=$(gluster --mode=script volume set "$VOLUME" "$port_option" "$ARBITER_PORT" 2>&1) || fail "volume set failed: $said"
    [[ -n $ARBITER ]] || gluster --mode=script volume reset "$VOLUME" "$port_option" >/dev/null || fail "cannot reset $port_option"
    ! is_started "$info" || wait_until 60 "all bricks of $VOLUME are reached" all_reached
fi
report "${ARBITER:-no arbiter} decides between the bricks of $VOLUME"
