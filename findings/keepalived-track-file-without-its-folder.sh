#!/usr/bin/env bash
# keepalived whose tracked file lies in a folder that is not there yet never tracks it, until it is told to reload
#
# Software: keepalived 2.2.7 (Debian 12) and 2.3.3 (Debian 13).
# Guess:    a track_file that does not exist counts as 0 and is picked up when it appears, wherever it lies: keepalived watches
#           for that. Or the daemon refuses to start.
# Happens:  so where only the file is missing. Where its folder is missing too (something below /run after a boot), the tracker
#           is dropped: the file that appears later with -254 in it changes nothing, the address stays. A reload repairs it.
#           "-t" says nothing and exits with 0 on 2.2.7; on 2.3.3 it says "not found, ignoring" and exits with 5.
# Matters:  what shall keep a machine from holding the address is off, and the log has one line about it. Make the folder (a
#           RuntimeDirectory=, tmpfiles.d) and the file before keepalived starts.
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
    fetch bookworm keepalived=1:2.2.7-1+b2 iproute2 &
    fetch trixie keepalived=1:2.3.3-1 iproute2
    wait $!
    # Each release in namespaces of its own, with which its processes end.
    for release in bookworm trixie; do
        unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab/$release"
    done
    exit
fi
root=$1
export LC_ALL=C
ip link set lo up
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

mount -t sysfs sys "$root/sys"
ip link add lan type veth peer name cable
ip link set cable up
ip link set lan up
ip address add 198.18.0.1/24 dev lan
cat >"$root/tmp/keepalived.conf" <<'END'
global_defs {
    vrrp_version 3
}
track_file may_hold {
    file "/tmp/later/may-hold"
    weight 1
}
vrrp_instance site {
    state BACKUP
    interface lan
    virtual_router_id 51
    priority 100
    advert_int 0.5
    virtual_ipaddress {
        198.18.0.100/24
    }
    track_file {
        may_hold
    }
}
END
tested() { # the status of -t, and the last line that it writes
    local status=0
    chroot "$root" keepalived --config-test --use-file /tmp/keepalived.conf >"$root/tmp/said" 2>&1 || status=$?
    echo "$status$(sed -n '$s/.*) /, /p' "$root/tmp/said")"
}
holds_address() { ip -brief address show dev lan | grep -q -F 198.18.0.100/24; }
no_address() { ! holds_address; }
owner() { if holds_address; then echo 'on the machine'; else echo 'taken away'; fi; }
start() {
    chroot "$root" keepalived --dont-fork --log-console --log-detail --use-file /tmp/keepalived.conf \
        --pid /run/keepalived.pid --vrrp_pid /run/vrrp.pid >"$root/tmp/log" 2>&1 &
    daemon=$!
    await holds_address
}
forbid() { # and give it time
    echo -254 >"$root/tmp/later/may-hold"
    sleep 3
}
chroot "$root" keepalived --version 2>&1 | sed -n 1p
mkdir "$root/tmp/later"
seen '-t, a folder, no file' 0 "$(tested)"
start
forbid
seen 'the file appears, with -254: the address is' 'taken away' "$(owner)"
kill "$daemon"
wait "$daemon" || true

rm -r "$root/tmp/later"
case $root in
    */bookworm) test=0 ;;
    */trixie) test='5, track file may_hold not found, ignoring...' ;;
esac
seen '-t, no folder' "$test" "$(tested)"
start
mkdir "$root/tmp/later"
forbid
seen 'folder and file appear, with -254: the address is' 'on the machine' "$(owner)"
kill -HUP "$daemon"
await no_address
seen 'after a reload: the address is' 'taken away' "$(owner)"
kill "$daemon"
wait "$daemon" || true
