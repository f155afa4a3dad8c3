#!/usr/bin/env bash
# A peer that was upgraded from GlusterFS 10 to 11 in place is welcome at its first start, and rejected at its second
#
# Software: GlusterFS 10.3 (Debian 12) and 11.1 (Debian 13), as Debian builds them, /var/lib/glusterd kept.
# Guess:    a rolling upgrade that was seen to be well with one peer upgraded (connected, op-version 100000, both bricks online)
#           stays well when that machine is rebooted; only volume options may not be changed until all peers are upgraded.
# Happens:  11.1 reads the volume's definition and writes it again without "nfs.disable=on", which 10.3 has in it. The first
#           handshake still compares the old checksum; after the next start of glusterd it differs, and both peers show each
#           other as "Peer Rejected". Each then sees its own brick only; the bricks run, and clients still reach both. It is
#           over when both run 11.1 and one of the two daemons starts once more.
# Matters:  the upgraded machine's reboot, after the start by the package's installation, is the one too many. What is seen after
#           the first start proves nothing. If the line is taken out of the file on all peers of 10.3, their daemons stopped
#           at once (bricks may go on), nothing of this happens: restarts and "volume set" are well with both in one pool.
set -euo pipefail

fetch() { # RELEASE NAME=VERSION...: these packages and all they need, unpacked in $lab/RELEASE
    local release=$1 root=$lab/$1 codename keyring own package
    shift
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{dev,proc,sys,etc,srv,tmp,run} "$root.apt"/{lists,archives}/partial
    chmod 1777 "$root/tmp"
    ln -s usr/{bin,sbin,lib,lib64} "$root"
    printf '%s:x:%s::/:/bin/sh\n' root 0:0 www-data 33:33 nobody 65534:65534 >"$root/etc/passwd"
    printf '%s:x:%s:\n' root 0 www-data 33 nogroup 65534 >"$root/etc/group"
    # The box's own mirror and keyring, with the release's name in place of the box's.
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    keyring=$(grep -rho '/[^] ]*debian-archive[^] ]*' /etc/apt --include='*.list' --include='*.sources' | head -n 1 || true)
    apt-get indextargets --format "deb ${keyring:+[signed-by=$keyring] }\$(REPO_URI) \$(RELEASE) main" \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' \
        | sed "s/ $codename/ $release/" >"$root.apt/sources.list"
    : >"$root.apt/status"
    own=(-qq -o Acquire::Languages=none -o "Dir::Etc::SourceList=$root.apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o APT::Sandbox::User=root -o "Dir::State::status=$root.apt/status" -o "Dir::State::lists=$root.apt/lists"
        -o "Dir::Cache=$root.apt")
    apt-get "${own[@]}" update
    apt-get "${own[@]}" --yes --no-install-recommends --download-only install dash "$@"
    for package in "$root.apt"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$root"
    done
}
await() { # COMMAND...: until it succeeds, at most thirty seconds
    local end=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then
            echo "not within thirty seconds: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}
seen() { # WHAT WANTED CAME-OUT: told, and the end if it is another than when this was written
    printf '  %-64s %s\n' "$1" "$3"
    if [ "$2" != "$3" ]; then
        echo "changed: it was '$2'" >&2
        exit 1
    fi
}
if [ $# -eq 0 ]; then
    lab=$(mktemp -d)
    trap 'wait && rm -rf "$lab"' EXIT
    fetch bookworm glusterfs-server=10.3-5 &
    fetch trixie glusterfs-server=11.1-6
    wait $!
    # Each pool in namespaces of its own, with which its processes end.
    for line in kept removed; do
        unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab" "$line"
    done
    exit
fi
lab=$1 line=$2
declare -A release=([brick1]=bookworm [brick2]=bookworm)
export LC_ALL=C
ip link set lo up
mount -t tmpfs run /run
for root in "$lab"/{bookworm,trixie}; do
    mount --bind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mkdir -p "$root"/{brick,run,var/log/glusterfs}
    ln -sfn /run "$root/var/run"
    printf '127.0.0.1 localhost\n198.18.0.1 brick1\n198.18.0.2 brick2\n' >"$root/etc/hosts"
done
# Two hosts: a network each, and folders of their own in place of those of the release that they run.
for host in brick1 brick2; do
    rm -rf "${lab:?}/$host"
    mkdir -p "$lab/$host"/{brick,run/gluster,var/lib,var/log/glusterfs}
    cp -a "$lab/${release[$host]}/var/lib/glusterd" "$lab/$host/var/lib/"
    ip netns add "$host"
    ip -n "$host" link set lo up
done
ip link add lan netns brick1 type veth peer name lan netns brick2
for number in 1 2; do
    ip -n "brick$number" address add "198.18.0.$number/24" dev lan
    ip -n "brick$number" link set lan up
done
on() { # HOST COMMAND...
    # shellcheck disable=SC2016 # for the inner shell
    ip netns exec "$1" bash -c '
        for folder in brick run var/lib/glusterd var/log/glusterfs; do mount --bind "$1/$folder" "$0/$folder"; done
        exec chroot "$0" "${@:2}"' "$lab/${release[$1]}" "$lab/$1" "${@:2}"
}
gluster() { on "$1" gluster --mode=script "${@:2}" </dev/null 2>&1 | sed '/^ *$/d'; }
start() { # HOST: its daemon
    on "$1" glusterd
    await on "$1" gluster pool list
}
state() { gluster "$1" peer status | sed -n 's/^State: //p'; }
is() { [ "$(state "$1")" = "$2" ]; }
stop() { # HOST: all its daemons, as a shutdown does
    ip netns pids "$1" | xargs kill
    await ended "$1"
    rm -rf "$lab/$1"/run/*
    mkdir "$lab/$1/run/gluster"
}
ended() { [ -z "$(ip netns pids "$1")" ]; }
bricks() { gluster "$1" volume status sessions | grep -c '^Brick .* Y '; }
has_bricks() { [ "$(bricks "$1")" = "$2" ]; }
reached() { gluster "$1" volume heal sessions info | grep -c '^Status: Connected'; }
reaches_both() { [ "$(reached "$1")" = 2 ]; }
pool() { # WHEN STATE BRICKS
    local host
    sleep 3 # The handshake, whose result may replace what was read from disk.
    for host in brick1 brick2; do
        await is "$host" "$2"
        await has_bricks "$host" "$3"
        seen "$1: $host's peer is in state" "$2" "$(state "$host")"
        seen "$1: bricks that $host sees" "$3" "$(bricks "$host")"
    done
    await reaches_both brick1
    seen "$1: bricks that a client reaches" 2 "$(reached brick1)"
}

start brick1
start brick2
gluster brick1 peer probe brick2 >/dev/null
await is brick1 'Peer in Cluster (Connected)'
await is brick2 'Peer in Cluster (Connected)'
gluster brick1 volume create sessions replica 2 brick{1,2}:/brick/sessions force >/dev/null
gluster brick1 volume start sessions >/dev/null
pool 'both 10.3' 'Peer in Cluster (Connected)' 2
if [ "$line" = removed ]; then
    stop brick1
    stop brick2
    sed -i '/^nfs.disable=/d' "$lab"/brick?/var/lib/glusterd/vols/sessions/info
    echo '  (nfs.disable=on removed from the files of the volume)'
    start brick1
    start brick2
    pool 'both 10.3' 'Peer in Cluster (Connected)' 2
    stop brick2
    release[brick2]=trixie
    start brick2
    pool 'brick2 11.1' 'Peer in Cluster (Connected)' 2
    seen 'volume set' 'volume set: success' "$(gluster brick1 volume set sessions network.ping-timeout 5)"
    stop brick2
    start brick2
    pool 'again' 'Peer in Cluster (Connected)' 2
    exit
fi
seen 'nfs.disable in its file of the volume' 'nfs.disable=on' "$(grep nfs "$lab/brick2/var/lib/glusterd/vols/sessions/info")"

stop brick2
release[brick2]=trixie
start brick2
pool 'brick2 11.1' 'Peer in Cluster (Connected)' 2
seen 'nfs.disable in its file of the volume' none \
    "$(grep nfs "$lab/brick2/var/lib/glusterd/vols/sessions/info" || echo none)"

stop brick2
start brick2
pool 'again' 'Peer Rejected (Connected)' 1

stop brick1
release[brick1]=trixie
start brick1
pool 'both 11.1' 'Peer Rejected (Connected)' 1

stop brick2
start brick2
pool 'again' 'Peer in Cluster (Connected)' 2
