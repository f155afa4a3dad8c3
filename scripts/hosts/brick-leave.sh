# shellcheck shell=bash
# Makes a machine whose brick the volume has no more a machine without Gluster's daemon: php1, whose brick once arbitrated.
#
# Input: VOLUME, BRICK_DISK (mount point), BRICK.
# Postcondition: no daemon of Gluster's server runs here, now or after a boot; the brick's folder is gone, and its disk is
# neither mounted nor in /etc/fstab. It held names and versions of sessions, no data. As long as the volume has the brick,
# this fails and changes nothing. A second run changes nothing.

if [[ $(systemctl is-enabled glusterd 2>/dev/null) == enabled ]] || systemctl is-active --quiet glusterd; then
    # This machine has been detached, so its own daemon knows no volume any more; the others may be asked if it does.
    if [[ $(gluster --mode=script volume info "$VOLUME" 2>/dev/null) == *" $(hostname):$BRICK"* ]]; then
        fail "$VOLUME still has the brick $(hostname):$BRICK"
    fi
    changing "stops Gluster's daemon"
    systemctl disable --quiet --now glusterd
fi
# Debian's unit leaves them running.
left_behind() { pgrep --full '^/usr/sbin/glusterfs(d .*--process-name brick| .*--volfile-id (shd/|gluster/glustershd))'; }
if left_behind >/dev/null; then
    changing "ends what the daemon left running"
    ended() {
        local pids
        pids=$(left_behind) || return 0
        # shellcheck disable=SC2086  # a word each
        kill $pids
        return 1
    }
    wait_until 20 "bricks end" ended
fi
if mountpoint --quiet "$BRICK_DISK"; then
    changing "lets the brick's disk go"
    rm -rf "$BRICK"
    umount "$BRICK_DISK" || fail "cannot unmount $BRICK_DISK"
fi
if grep --quiet "^[^ #]* $BRICK_DISK " /etc/fstab; then
    changing "removes $BRICK_DISK from /etc/fstab"
    sed --in-place "\\#^[^ ]* $BRICK_DISK #d" /etc/fstab
    systemctl daemon-reload
fi
forget_steps '*-brick' '*-brick-restore'
report "$(hostname) has no brick"
