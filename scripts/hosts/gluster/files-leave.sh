# shellcheck shell=bash
# Unmounts what a site shared beside its sessions, now that its releases share nothing.
#
# Input: MOUNT_POINT.
# Postcondition: it is not mounted, now or after a boot, and nobody mounts it again. Who has a file of it open goes on reading.
# A second run changes nothing.

unit=${MOUNT_POINT#/}
unit=${unit//\//-}.mount
keeper=php-cluster-files.service
if [[ -e /etc/systemd/system/$keeper ]]; then
    changing "leaves $MOUNT_POINT to nobody"
    systemctl disable --quiet --now "$keeper"
    rm -rf "/etc/systemd/system/$keeper" "/etc/systemd/system/$unit.d/php-cluster.conf" /usr/lib/php-cluster/keep-mounted-files \
        /run/php-cluster/files-answered
    systemctl daemon-reload
fi
if grep --quiet "^[^ #]* $MOUNT_POINT " /etc/fstab; then
    changing "removes $MOUNT_POINT from /etc/fstab"
    sed --in-place "\\#^[^ ]* $MOUNT_POINT #d" /etc/fstab
    systemctl daemon-reload
fi
if [[ $(</proc/self/mounts) == *" $MOUNT_POINT fuse.glusterfs "* ]]; then
    changing "unmounts $MOUNT_POINT"
    umount --lazy "$MOUNT_POINT"
fi
if [[ -d $MOUNT_POINT ]]; then
    changing "removes the bare $MOUNT_POINT"
    chattr -i "$MOUNT_POINT"
    rmdir "$MOUNT_POINT" || fail "$MOUNT_POINT is not empty"
fi
forget_steps '*-files-mount' '*-site-shared' '*-files-arbiter-*'
report "$MOUNT_POINT is not mounted"
