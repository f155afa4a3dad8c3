# shellcheck shell=bash
# Makes a brick host: the brick's disk mounted at its place, and the Gluster daemon.
#
# Input: BRICK_SOURCE (an empty block device, or a folder on a file system of its own), BRICK_DISK (mount point), BRICK.
# Postcondition: BRICK_DISK is mounted, now and after a reboot; BRICK exists on it; glusterd runs, never before the mount.
# A second run changes nothing. A disk that holds a file system is never formatted.

[[ -e $BRICK_SOURCE ]] || fail "$BRICK_SOURCE, the disk for the brick, is not there"
if [[ -b $BRICK_SOURCE ]]; then
    if [[ -z $(blkid --output value --match-tag TYPE "$BRICK_SOURCE") ]]; then
        # 512-byte inodes hold Gluster's extended attributes without a second block.
        mkfs.xfs -q -i size=512 "$BRICK_SOURCE"
        changed "formatted $BRICK_SOURCE"
    fi
    entry="UUID=$(blkid --output value --match-tag UUID "$BRICK_SOURCE") $BRICK_DISK xfs defaults,noatime,nofail 0 2"
else
    entry="$BRICK_SOURCE $BRICK_DISK none bind,nofail 0 0"
fi
if ! grep --quiet --fixed-strings --line-regexp "$entry" /etc/fstab; then
    touch /etc/fstab
    sed --in-place "\\#^[^ ]* $BRICK_DISK #d" /etc/fstab
    printf '%s\n' "$entry" >>/etc/fstab
    changed "wrote $BRICK_DISK to /etc/fstab"
    systemctl daemon-reload
fi
mkdir -p "$BRICK_DISK"
if ! mountpoint --quiet "$BRICK_DISK"; then
    mount "$BRICK_DISK" || fail "cannot mount $BRICK_DISK"
    changed "mounted $BRICK_DISK"
fi
# Only below the mount: a brick folder on the root disk would be filled without anybody noticing.
mkdir -p "$BRICK"

# Debian's unit knows neither the brick's disk nor a crash of the daemon with exit code 0. It comes before
# network-online.target (mounts wait for that one), so it can only be ordered after what that target waits for.
put_file /etc/systemd/system/glusterd.service.d/php-cluster.conf 0644 "[Unit]
RequiresMountsFor=$BRICK_DISK
After=systemd-networkd-wait-online.service NetworkManager-wait-online.service ifupdown-wait-online.service
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=2
" && systemctl daemon-reload
enabled_and_running glusterd
wait_until 60 "glusterd answers" gluster --mode=script pool list
report "glusterd runs, brick folder $BRICK is ready"
