#!/usr/bin/env bash
# A glusterd 11 that joins a pool of GlusterFS 10 becomes a connected peer, and never learns of the pool's volumes
#
# Software: GlusterFS 10.3 (Debian 12) and 11.1 (Debian 13) in one pool.
# Guess:    the pool's op-version is there for this: peers agree on the lower one, and the newcomer gets all volumes, so that a
#           machine can be replaced by one of the next release; or else "peer probe" refuses.
# Happens:  "peer probe: success", "Peer in Cluster (Connected)" on both sides, op-version 100000 on both; the newcomer has no
#           volume, since 10.3 does not send what 11.1 asks for (its log alone says so: "origin_path missing in payload"). A
#           volume cannot even be looked at on the old peer any more: "Staging failed". The other way round, 10.3 that shall
#           join a pool of 11.1 at its op-version 110000, the probe is refused.
# Matters:  whoever waits for "Connected" after a probe, and goes on, has a pool that takes no command for its volumes. Such a
#           peer can be detached again. What is kept over an upgrade is /var/lib/glusterd, not the machine's name alone.
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
    for pair in 'bookworm trixie' 'trixie bookworm'; do
        # shellcheck disable=SC2086 # two words
        unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab" $pair
    done
    exit
fi
lab=$1
declare -A release=([brick1]=$2 [brick2]=$3)
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
echo "brick1: $(on brick1 glusterd --version | sed -n 1p), brick2: $(on brick2 glusterd --version | sed -n 1p)"
start brick1
start brick2
gluster brick1 volume create sessions brick1:/brick/sessions force >/dev/null
gluster brick1 volume start sessions >/dev/null
seen 'brick1: volume list' 'sessions' "$(gluster brick1 volume list)"
if [ "$2" = trixie ]; then
    seen 'brick1: peer probe brick2' 'peer probe: failed: Peer brick2 does not support required op-version' \
        "$(gluster brick1 peer probe brick2)"
    exit
fi
seen 'brick1: peer probe brick2' 'peer probe: success' "$(gluster brick1 peer probe brick2)"
for host in brick1 brick2; do
    await is "$host" 'Peer in Cluster (Connected)'
    seen "$host: peer status" 'Peer in Cluster (Connected)' "$(state "$host")"
    seen "$host: op-version" 100000 "$(gluster "$host" volume get all cluster.op-version | awk '/op-version/ { print $2 }')"
done
await grep -q 'missing in payload' "$lab/brick2/var/log/glusterfs/glusterd.log"
sleep 3
seen 'brick2: volume list' 'No volumes present in cluster' "$(gluster brick2 volume list)"
seen 'brick1: volume status' 'Staging failed on brick2. Error: Volume sessions does not exist' \
    "$(gluster brick1 volume status sessions)"
seen 'brick2: its log' 'origin_path missing in payload' \
    "$(grep -o -m 1 'origin_path missing in payload' "$lab/brick2/var/log/glusterfs/glusterd.log")"
seen 'brick1: peer detach brick2' 'peer detach: success' "$(gluster brick1 peer detach brick2)"
seen 'brick1: volume status' 'Status of volume: sessions' "$(gluster brick1 volume status sessions | sed -n 1p)"
