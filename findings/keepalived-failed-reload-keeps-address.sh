#!/usr/bin/env bash
# keepalived that cannot use its new configuration at a reload ends, and leaves the floating address on the machine
#
# Software: keepalived 2.2.7 (Debian 12) and 2.3.3 (Debian 13), alike.
# Guess:    a daemon that is told to reload (SIGHUP, systemctl reload) and finds an error keeps its old configuration, as nginx
#           does, or at the worst ends in an orderly way: says "priority 0" to its peer and takes its addresses away.
# Happens:  for an error that it calls permanent, such as an interface that is not there (yet), the VRRP process ends, the
#           main one follows with status 2, and the address stays where it is. Nobody announces it any more, so the spare
#           takes it too: two machines answer for one address. A mere unknown keyword is logged, and all goes on.
# Matters:  systemctl reload has returned 0 before that. "keepalived -t" before each reload finds the error (status 5, the same
#           as for warnings); "reload_check_config" in global_defs makes keepalived look by itself and keep what it has.
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
instance() { # NAME INTERFACE ROUTER-ID ADDRESS
    cat <<END
vrrp_instance $1 {
    state BACKUP
    interface $2
    virtual_router_id $3
    priority 100
    virtual_ipaddress {
        $4/24
    }
}
END
}
configuration() { # GLOBAL-LINE...: one good instance
    printf 'global_defs {\n    vrrp_version 3\n%s\n}\n' "$*"
    instance site lan 51 198.18.0.100
}
start() {
    configuration "$@" >"$root/tmp/keepalived.conf"
    chroot "$root" keepalived --dont-fork --log-console --log-detail --use-file /tmp/keepalived.conf \
        --pid /run/keepalived.pid --vrrp_pid /run/vrrp.pid >"$root/tmp/log" 2>&1 &
    daemon=$!
    await holds_address
}
holds_address() { ip -brief address show dev lan | grep -q -F 198.18.0.100/24; }
owner() { if holds_address; then echo 'on the machine'; else echo 'taken away'; fi; }
reload() { # LOG-LINE: and wait until it has said this line
    : >"$root/tmp/log"
    kill -HUP "$daemon"
    await grep -a -q "$1" "$root/tmp/log"
}
chroot "$root" keepalived --version 2>&1 | sed -n 1p
start
echo nonsense >>"$root/tmp/keepalived.conf"
reload 'Reload complete'
seen 'reload with an unknown keyword: the address is' 'on the machine' "$(owner)"
kill "$daemon"
wait "$daemon" || true
seen 'stopped: the address is' 'taken away' "$(owner)"

start
instance second lan.7 52 198.18.7.100 >>"$root/tmp/keepalived.conf"
status=0
chroot "$root" keepalived --config-test --use-file /tmp/keepalived.conf >/dev/null 2>&1 || status=$?
seen 'a second instance on an interface that is not there: -t says' 5 "$status"
reload 'Stopped Keepalived'
status=0
wait "$daemon" || status=$?
seen 'reload: keepalived has ended with status' 2 "$status"
seen 'the address is' 'on the machine' "$(owner)"
ip address delete 198.18.0.100/24 dev lan

start '    reload_check_config'
instance second lan.7 52 198.18.7.100 >>"$root/tmp/keepalived.conf"
reload 'New config failed validation'
seen 'reload with reload_check_config: the address is' 'on the machine' "$(owner)"
kill "$daemon"
wait "$daemon" || true
seen 'stopped, since it was alive: the address is' 'taken away' "$(owner)"
