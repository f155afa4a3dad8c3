# shellcheck shell=bash
# Mounts the sessions, the article's `mount.glusterfs`, now and at every boot.
#
# Input: FSTAB_LINE, MOUNT_POINT, GUARDED ("yes": profile safe), KEEP_MOUNTED, BRICK_ADDRESSES (of the other machines with
# bricks), MEMBERS (the balancers' pages that list the nodes).
# Postcondition: FSTAB_LINE is in /etc/fstab and the volume is mounted, owned by PHP's user. Guarded: the bare mount point
# takes no files, and a service mounts again whatever gets lost. A second run changes nothing.

unit=$(systemd-escape --path --suffix=mount "$MOUNT_POINT")
is_mounted() { grep --quiet " $MOUNT_POINT fuse.glusterfs " /proc/self/mounts; }

if ! grep --quiet --fixed-strings --line-regexp "$FSTAB_LINE" /etc/fstab; then
    changing "writes $MOUNT_POINT to /etc/fstab"
    touch /etc/fstab
    sed --in-place "\\#^[^ ]* $MOUNT_POINT #d" /etc/fstab
    printf '%s\n' "$FSTAB_LINE" >>/etc/fstab
    systemctl daemon-reload
fi
mkdir -p "$MOUNT_POINT"

if [[ $GUARDED == yes ]]; then
    if ! is_mounted && [[ ! $(lsattr -d "$MOUNT_POINT" 2>/dev/null) =~ ^[^\ ]*i ]]; then
        changing "makes the bare $MOUNT_POINT immutable"
        # Without its mount, a session must find no place at all rather than one on this node alone.
        chmod 0 "$MOUNT_POINT"
        chattr +i "$MOUNT_POINT" || fail "cannot make the bare mount point immutable"
    fi
    # systemd tries a mount once; a node that boots before the volume is there would stay without.
    put_file /usr/lib/php-cluster/keep-mounted 0755 "$KEEP_MOUNTED" || true
    put_file "/etc/systemd/system/$unit.d/php-cluster.conf" 0644 "[Unit]
StartLimitIntervalSec=0
" || true
    reread_if_changed "$unit"
    put_file /etc/systemd/system/php-cluster-sessions.service 0644 "[Unit]
Description=Keep $MOUNT_POINT mounted, and say whether it answers
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0
[Service]
Environment=\"MEMBERS=$MEMBERS\"
ExecStart=/usr/lib/php-cluster/keep-mounted $MOUNT_POINT $unit $BRICK_ADDRESSES
Restart=always
RestartSec=1
# Whoever asks a mount that hangs cannot be ended.
TimeoutStopSec=2
[Install]
WantedBy=multi-user.target
" || true
fi

if ! is_mounted; then
    changing "mounts $MOUNT_POINT"
    try_to_mount() { systemctl start "$unit" 2>&1; }
    wait_until 60 "$MOUNT_POINT is mounted" try_to_mount
fi
if [[ $(stat --format='%U %a' "$MOUNT_POINT") != "www-data 700" ]]; then
    changing "gives the sessions to PHP's user"
    chown www-data:www-data "$MOUNT_POINT"
    chmod 700 "$MOUNT_POINT"
fi
[[ $GUARDED == yes ]] && enabled_and_running php-cluster-sessions.service restart
report "$MOUNT_POINT is mounted"
