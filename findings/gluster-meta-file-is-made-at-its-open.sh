#!/usr/bin/env bash
# What a file below .meta of a GlusterFS mount says is made when it is opened, and never again
#
# Software: GlusterFS 10.3 (Debian 12) and 11.1 (Debian 13), alike.
# Guess:    .meta of a mount is to Gluster's client what /proc is to the kernel: who keeps a file open and reads it again
#           from its beginning is told what is so at that moment.
# Happens:  each read through one open file returns the text of its first read, whatever has changed meanwhile: a client that
#           has lost its brick is "connected = 1" for as long as the file stays open. Opened anew, it says 0.
# Matters:  a program that watches whether a mount has its bricks, and saves itself an open at each look, never sees one go.
#           Its folder may stay open: a file that is opened by its name from there is a new one.
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
    fetch bookworm glusterfs-server=10.3-5 glusterfs-client=10.3-5 &
    fetch trixie glusterfs-server=11.1-6 glusterfs-client=11.1-6
    wait $!
    # Each release in namespaces of its own, with which its processes end.
    for release in bookworm trixie; do
        unshare --uts --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab/$release"
    done
    exit
fi
root=$1
export LC_ALL=C
ip link set lo up
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

hostname brick1
echo '127.0.0.1 localhost brick1' >"$root/etc/hosts"
mkdir -p "$root"/var/{lib/glusterd,log/glusterfs,run/gluster} "$root"/{brick,mnt}
gluster() { chroot "$root" gluster --mode=script "$@" </dev/null; }
chroot "$root" glusterd --version | sed -n 1p
chroot "$root" glusterd
await gluster pool list
gluster volume create sessions brick1:/brick/one force >/dev/null
gluster volume start sessions >/dev/null
chroot "$root" glusterfs --volfile-server=brick1 --volfile-id=sessions /mnt
await cd "$root/mnt/.meta/graphs/active/sessions-client-0"
anew() { grep '^connected' private; }
kept() { (cd / && python3 -c 'import os; print(os.pread(9, 65536, 0).decode())') | grep '^connected'; }
is_connected() { [ "$(anew)" = 'connected = 1' ]; }
is_lost() { [ "$(anew)" = 'connected = 0' ]; }
await is_connected
exec 9<private
seen 'with its brick, a file that stays open' 'connected = 1' "$(kept)"
pkill --exact glusterfsd
await is_lost
seen 'without its brick, opened anew' 'connected = 0' "$(anew)"
seen 'without its brick, the file that stayed open' 'connected = 1' "$(kept)"
exec 9<private
seen 'the same, opened again' 'connected = 0' "$(kept)"
cd /
exec 9<&-
