# shellcheck shell=bash
# Makes the folder for the brick of the volume with the site's shared files, on the disk that the sessions' brick has.
#
# Input: BRICK_DISK (mount point), BRICK.
# Postcondition: BRICK is there, and whatever is written to a file below it is on the disk before the write returns. A second
# run changes nothing.
#
# That is the attribute S, which new files and folders take over. Without it a machine whose power fails would come back with
# files that are short, and nothing would tell Gluster (docs/decisions/10). PHP does not call fsync for uploads; the mount's
# `sync` has the same effect for three times the price, as each write is then two requests to each brick.

has_attribute() { [[ $(lsattr -d "$BRICK") =~ ^[^\ ]*S ]]; }

mountpoint --quiet "$BRICK_DISK" || fail "$BRICK_DISK is not mounted"
if [[ ! -d $BRICK ]]; then
    changing "makes the folder $BRICK"
    mkdir "$BRICK"
fi
if ! has_attribute; then
    changing "has writes below $BRICK wait for the disk"
    chattr +S "$BRICK" || fail "the file system of $BRICK_DISK does not know the attribute S (ext4, XFS and Btrfs do)"
fi
report "brick folder $BRICK is ready"
