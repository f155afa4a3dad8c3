# shellcheck shell=bash
# Makes a brick host: the brick's disk mounted at its place, and the Gluster daemon.
#
# Input: BRICK_SOURCE (an empty block device, or a folder on a file system of its own), BRICK_DISK (mount point), BRICK,
# PEERS (names of the other brick hosts), GLUSTERD_DROP_IN (unit file).
# Postcondition: BRICK_DISK is mounted, now and after a reboot; BRICK exists on it; glusterd runs, never before the mount,
# and with the identity by which the pool knows a machine of this name, if it knows one.
# A second run changes nothing. A disk that holds a file system is never formatted. One with sessions that an earlier stack on
# this machine left (scripts/existing/leave) is taken over, with the identity and the volume that Gluster knows them by; so is what
# a balancer left that scripts/upgrade replaces, with its note of the last backup.

# take_old_place: a machine that comes in place of a lost one gets its identity and its peers from one that knew it. Under a
# new identity the pool would take it for a stranger, and wait for the old one for ever.
take_old_place() {
    local peer listing id name home=/var/lib/glusterd
    for peer in $PEERS; do
        timeout 1 bash -c "exec 3<>/dev/tcp/$peer/24007" 2>/dev/null || continue
        listing=$(timeout 10 gluster --remote-host="$peer" --mode=script pool list 2>/dev/null | tail --lines +2) || continue
        grep --quiet --word-regexp "$(hostname)" <<<"$listing" || continue
        while read -r id name _; do
            [[ $name == localhost ]] && name=$peer
            if [[ $name == "$(hostname)" ]]; then
                [[ ! -s $home/glusterd.info ]] || continue
                changing "takes its old place in the pool, as $id"
                mkdir -p "$home"
                echo "UUID=$id" >"$home/glusterd.info"
            elif [[ ! -e $home/peers/$id ]]; then
                changing "knows $name again"
                mkdir -p "$home/peers"
                printf '%s\n' "uuid=$id" state=3 "hostname1=$name" >"$home/peers/$id"
            fi
        done <<<"$listing"
        return
    done
}

[[ -e $BRICK_SOURCE ]] || fail "$BRICK_SOURCE, the disk for the brick, is not there"
if [[ -b $BRICK_SOURCE ]]; then
    if [[ -z $(blkid --output value --match-tag TYPE "$BRICK_SOURCE") ]]; then
        changing "formats $BRICK_SOURCE"
        # 512-byte inodes hold Gluster's extended attributes without a second block.
        mkfs.xfs -q -i size=512 "$BRICK_SOURCE"
    fi
    entry="UUID=$(blkid --output value --match-tag UUID "$BRICK_SOURCE") $BRICK_DISK xfs defaults,noatime,nofail 0 2"
else
    entry="$BRICK_SOURCE $BRICK_DISK none bind,nofail 0 0"
fi
if ! grep --quiet --fixed-strings --line-regexp "$entry" /etc/fstab; then
    changing "writes $BRICK_DISK to /etc/fstab"
    touch /etc/fstab
    sed --in-place "\\#^[^ ]* $BRICK_DISK #d" /etc/fstab
    printf '%s\n' "$entry" >>/etc/fstab
    systemctl daemon-reload
fi
if ! mountpoint --quiet "$BRICK_DISK"; then
    changing "mounts $BRICK_DISK"
    mkdir -p "$BRICK_DISK"
    mount "$BRICK_DISK" || fail "cannot mount $BRICK_DISK"
fi
# Only below the mount: a brick folder on the root disk would be filled without anybody noticing.
if [[ ! -d $BRICK ]]; then
    changing "makes the folder $BRICK"
    mkdir -p "$BRICK"
fi

kept=$BRICK_DISK/kept
if [[ -f $kept/glusterd.tar ]]; then
    changing "takes over the sessions that an earlier stack left"
    systemctl stop glusterd
    mkdir -p /var/lib/glusterd
    rm -rf /var/lib/glusterd/{glusterd.info,peers,vols}
    tar --extract --file "$kept/glusterd.tar" --directory /var/lib/glusterd
    [[ ! -e $kept/last-backup ]] || install -D --mode=644 "$kept/last-backup" /var/lib/php-cluster/last-backup
    rm -r "$kept"
fi

# Debian's unit knows neither the brick's disk nor a crash of the daemon with exit code 0. It comes before
# network-online.target (mounts wait for that one), so it can only be ordered after what that target waits for.
put_unit glusterd.service.d/php-cluster.conf "$GLUSTERD_DROP_IN" BRICK_DISK
# Every start of the daemon configures geo-replication, which is not used here, by seventeen Python programs one after the
# other: 2.2 s on an idle machine, 5 s when three start at once, 0.1 s without. A package update leaves a diversion alone.
gsyncd=$(dpkg --listfiles glusterfs-common | grep '/gsyncd$')
if [[ $(dpkg-divert --truename "$gsyncd") == "$gsyncd" ]]; then
    changing "puts geo-replication aside"
    dpkg-divert --quiet --local --rename --divert "$gsyncd.unused" --add "$gsyncd"
fi
systemctl is-active --quiet glusterd || take_old_place
enabled_and_running glusterd
wait_until 60 "glusterd answers" gluster --mode=script pool list
report "glusterd runs, brick folder $BRICK is ready"
