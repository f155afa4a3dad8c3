#!/usr/bin/env bash
# For keepalived a configuration file that is not there is an empty one: -t passes it, and a reload drops the floating address
#
# Software: keepalived 2.2.7 (Debian 12) and 2.3.3 (Debian 13), alike.
# Guess:    a missing file is an error: "keepalived -t" fails, a daemon does not start, and one that is told to reload keeps what
#           it has. So do HAProxy and nginx, and so does keepalived itself with an unknown keyword (-t: status 5).
# Happens:  -t writes "Config files missing" and exits with 0. The daemon that reloads in that moment has no instance left: it
#           gives the address away in an orderly way and stays alive with nothing to do, so that systemd sees no failure.
# Matters:  a file that is replaced in two steps (remove, write), or a mistyped -f in a check, loses the address without an error.
#           Put the new file in place by rename, and test that it is there as well as with -t.
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
cat >"$root/tmp/good.conf" <<'END'
global_defs {
    vrrp_version 3
}
vrrp_instance site {
    state BACKUP
    interface lan
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        198.18.0.100/24
    }
}
END
tested() { # FILE: what -t says
    local status=0
    chroot "$root" keepalived --config-test --use-file "$1" >"$root/tmp/said" 2>&1 || status=$?
    echo "status $status$(sed 's/^/, /; q' "$root/tmp/said")"
}
holds_address() { ip -brief address show dev lan | grep -q -F 198.18.0.100/24; }
no_address() { ! holds_address; }

chroot "$root" keepalived --version 2>&1 | sed -n 1p
seen '-t, a good file' 'status 0' "$(tested /tmp/good.conf)"
(cat "$root/tmp/good.conf" && echo nonsense) >"$root/tmp/keepalived.conf"
seen '-t, an unknown keyword' "status 5, (Line 13) Unknown keyword 'nonsense'" \
    "$(tested /tmp/keepalived.conf)"
rm "$root/tmp/keepalived.conf"
seen '-t, no file' "status 0, Config files missing '/tmp/keepalived.conf'." "$(tested /tmp/keepalived.conf)"

cp "$root/tmp/good.conf" "$root/tmp/keepalived.conf"
chroot "$root" keepalived --dont-fork --log-console --log-detail --use-file /tmp/keepalived.conf \
    --pid /run/keepalived.pid --vrrp_pid /run/vrrp.pid >"$root/tmp/log" 2>&1 &
daemon=$!
await holds_address
rm "$root/tmp/keepalived.conf"
: >"$root/tmp/log"
kill -HUP "$daemon"
await grep -a -q 'Reload complete' "$root/tmp/log"
await no_address
seen 'reload, no file: the address is' 'taken away' "$(holds_address || echo 'taken away')"
seen 'and keepalived is' 'alive' "$(kill -0 "$daemon" && echo alive)"
kill "$daemon"
wait "$daemon" || true
