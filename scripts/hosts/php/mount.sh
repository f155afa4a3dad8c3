# shellcheck shell=bash
# Mounts the sessions, the article's `mount.glusterfs`, now and at every boot; and what a site shares beside them.
#
# Input: NAME (of the volume: "sessions" or "files"), FSTAB_LINE, MOUNT_POINT, DRAIN_SECONDS, GUARDED ("yes": profile safe). If
# guarded: KEEP_MOUNTED (program), KEEPER_SERVICE, MOUNT_DROP_IN (unit files), BRICK_ADDRESSES (of the other machines with bricks),
# KNOCK_PORT (where those are asked whether they live), MEMBERS (the balancers' pages that list the nodes).
# Postcondition: FSTAB_LINE is in /etc/fstab and the volume is mounted with its options, owned by PHP's user. Guarded: the
# bare mount point takes no files, and a service mounts again whatever gets lost. A second run changes nothing. When other
# options make a new mount necessary, requests wait for it, on this node or on others; those under way are answered before.

# The name that systemd-escape gives it: the folder has none of the characters that would be spelled otherwise.
unit=${MOUNT_POINT#/}
unit=${unit//\//-}.mount
keeper=php-cluster-$NAME.service
answered=/run/php-cluster/mount-answered program=/usr/lib/php-cluster/keep-mounted
# Each keeper has its program for itself: the step that brings a new one restarts it.
[[ $NAME == sessions ]] || answered=/run/php-cluster/$NAME-answered program+=-$NAME
is_mounted() { [[ $(</proc/self/mounts) == *" $MOUNT_POINT fuse.glusterfs "* ]]; }

# What the mount's client is told of these by its command line, and FSTAB_LINE by its options, is the same text.
TOLD='(direct-io-mode|auto-invalidation|attribute-timeout|entry-timeout|negative-timeout|xlator-option)=.*'
wanted_options() { cut --delimiter ' ' --fields 4 <<<"$FSTAB_LINE" | tr , '\n' | grep --extended-regexp --line-regexp "$TOLD" | sort; }
# GlusterFS 11 starts its client with an xlator-option in two words where 10 has one.
mounted_options() {
    find_client && printf '%s\n' "${client[@]#--}" | sed '/^xlator-option$/{N;s/\n/=/}' \
        | grep --extended-regexp --line-regexp "$TOLD" | sort
}

# find_client: sets `client` to the words that the mount's client was started with; fails when there is none.
find_client() {
    local process
    for process in /proc/[0-9]*; do
        mapfile -d '' -t client 2>/dev/null <"$process/cmdline" || continue
        [[ ${client[0]-} != */glusterfs || ${client[-1]} != "$MOUNT_POINT" ]] || return 0
    done
    return 1
}
has_no_dead_mount() { ! is_mounted || find_client; }

# is_connected: whether the mount has a brick to ask.
is_connected() { ! is_mounted || [[ $(LC_ALL=C stat "$MOUNT_POINT" 2>&1) != *"endpoint is not connected"* ]]; }

# let_go: ends the mount when nothing needs it. PHP lets requests wait from then on, until this step is over.
let_go() {
    if [[ $NAME != sessions ]]; then
        # Nobody holds a lock there, and a download may take its time: who has a file open goes on with the mount of before.
        systemctl stop "$keeper" 2>/dev/null || true
        rm -f "$answered"
        umount --lazy "$MOUNT_POINT"
        return
    fi
    if [[ -x /usr/lib/php-cluster/serve-php ]]; then
        trap go_on EXIT
        DRAIN_SECONDS=$DRAIN_SECONDS /usr/lib/php-cluster/serve-php hold || fail "PHP does not start"
    fi
    # It would mount again what goes; and what it said of this mount says nothing of the next one.
    systemctl stop "$keeper" 2>/dev/null || true
    rm -f "$answered"
    finish_stores
    systemctl stop php-cluster-session-log.service 2>/dev/null || true
    wait_until 30 "nothing uses $MOUNT_POINT" umount "$MOUNT_POINT"
}

# finish_stores: brings to the bricks what was stored last. With the article's options the mount's client says "stored" before
# a brick has it, and would end with it. A mount that hangs has nothing to give, and whoever asks it cannot be ended.
finish_stores() {
    local limit=$((SECONDS + 5))
    find "$MOUNT_POINT" -maxdepth 1 -name 'sess_*' -newermt '-5 seconds' -print0 2>/dev/null \
        | xargs --null --no-run-if-empty --max-args 16 sync --data 2>/dev/null &
    while [[ -n $(jobs -r) ]]; do
        ((SECONDS < limit)) || {
            echo "not all of what was stored last was seen to reach the bricks"
            break
        }
        sleep 0.05
    done
}

# go_on: lets PHP take requests again; without a mount they would find no session, so the one of before comes back first.
go_on() {
    if ! is_mounted && [[ -n $line_before && $line_before != "$FSTAB_LINE" ]]; then
        write_line "$line_before"
        systemctl start "$unit" || true
    fi
    ! is_enabled php-cluster-session-log.service || systemctl start php-cluster-session-log.service
    /usr/lib/php-cluster/serve-php go
}

# write_line LINE: the mount point's line of /etc/fstab is this one.
write_line() {
    touch /etc/fstab
    sed --in-place "\\#^[^ ]* $MOUNT_POINT #d" /etc/fstab
    printf '%s\n' "$1" >>/etc/fstab
    systemctl daemon-reload
}

line_before=$(grep "^[^ #]* $MOUNT_POINT " /etc/fstab) || true
if [[ $line_before != "$FSTAB_LINE" ]]; then
    changing "writes $MOUNT_POINT to /etc/fstab"
    write_line "$FSTAB_LINE"
fi
if ! has_no_dead_mount; then
    changing "takes $MOUNT_POINT away from a client that has ended, which leaves nothing but errors there"
    # The keeper does it by itself.
    systemctl --quiet is-active "$keeper" || umount --lazy "$MOUNT_POINT"
    wait_until 30 "$MOUNT_POINT is free" has_no_dead_mount
fi
# When all bricks were lost with their disks, the volume that is there now has another identity, and the client, which lives, goes
# on asking for the one of before: "Volume-ID different, possible case of same brick re-used in another volume".
if ! is_connected; then
    changing "mounts $MOUNT_POINT anew, which no brick answers"
    let_go
fi
mkdir -p "$MOUNT_POINT"
if is_mounted && [[ $(mounted_options) != "$(wanted_options)" ]]; then
    changing "mounts $MOUNT_POINT anew, with other options"
    let_go
fi

if [[ $GUARDED == no ]]; then
    if [[ -e /etc/systemd/system/$keeper ]]; then
        changing "leaves $MOUNT_POINT to systemd"
        systemctl disable --quiet --now "$keeper"
        rm -r "/etc/systemd/system/$keeper" "/etc/systemd/system/$unit.d/php-cluster.conf"
        systemctl daemon-reload
    fi
    if ! is_mounted && [[ $(lsattr -d "$MOUNT_POINT" 2>/dev/null) =~ ^[^\ ]*i ]]; then
        changing "makes the bare $MOUNT_POINT an ordinary folder"
        chattr -i "$MOUNT_POINT"
        chmod 755 "$MOUNT_POINT"
    fi
else
    if ! is_mounted && [[ ! $(lsattr -d "$MOUNT_POINT" 2>/dev/null) =~ ^[^\ ]*i ]]; then
        changing "makes the bare $MOUNT_POINT immutable"
        # Without its mount, a session must find no place at all rather than one on this node alone.
        chmod 0 "$MOUNT_POINT"
        chattr +i "$MOUNT_POINT" || fail "cannot make the bare mount point immutable"
    fi
    # systemd tries a mount once; a node that boots before the volume is there would stay without.
    put_file "$program" 0755 "$KEEP_MOUNTED"
    put_unit "$unit.d/php-cluster.conf" "$MOUNT_DROP_IN"
    reread_if_changed "$unit"
    put_unit "$keeper" "$KEEPER_SERVICE" MOUNT_POINT MEMBERS KNOCK_PORT answered program unit BRICK_ADDRESSES
fi

if ! is_mounted; then
    changing "mounts $MOUNT_POINT"
    try_to_mount() { systemctl start "$unit" 2>&1; }
    wait_until 60 "$MOUNT_POINT is mounted" try_to_mount
fi
if [[ $(stat --format='%U %a' "$MOUNT_POINT") != "www-data 700" ]]; then
    changing "gives $MOUNT_POINT to PHP's user"
    chown www-data:www-data "$MOUNT_POINT"
    chmod 700 "$MOUNT_POINT"
fi
if [[ $GUARDED == yes ]]; then
    enabled_and_running "$keeper" restart
    # The node's health page believes the keeper alone.
    unchanged || wait_until 30 "$MOUNT_POINT works" test -s "$answered"
fi
[[ $NAME == sessions ]] || forget_steps "*-$NAME-left"
report "$MOUNT_POINT is mounted"
