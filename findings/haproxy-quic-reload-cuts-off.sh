#!/usr/bin/env bash
# A reload leaves TCP connections to be served to their end, and QUIC connections without an answer
#
# Software: HAProxy 3.0.11 (Debian 13), curl 8.14.1 as the client.
# Guess:    a reload hands the listeners over, and the old process serves what it has begun; QUIC gets a socket for each
#           connection by default (tune.quic.socket-owner), so that it is the same there.
# Happens:  the socket of a connection is bound to the listener's port. As user haproxy, which is how HAProxy is run, it may not
#           bind 443. One line on standard error says so, and all connections share the listener; a reload gives it to the new
#           process, which knows none of them. Clients wait until their own timeout. With "setcap cap_net_bind_service" in the
#           global section, or at a port from 1024 on, the guess is right.
# Matters:  whoever tries it at port 8443, or as root, sees nothing of it.
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
    trap 'rm -rf "$lab"' EXIT
    fetch trixie haproxy=3.0.11-1+deb13u5 curl openssl
    # In namespaces of its own, with which its processes end.
    unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab/trixie"
    exit
fi
root=$1
export LC_ALL=C
ip link set lo up
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
echo haproxy:x:999:999::/:/bin/sh >>"$root/etc/passwd"
echo haproxy:x:999: >>"$root/etc/group"

chroot "$root" openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=site -keyout /tmp/key -out /tmp/certificate 2>/dev/null
cat "$root"/tmp/{key,certificate} >"$root/tmp/site.pem"
configuration() { # PORT LINE: what HAProxy is told
    cat <<END
global
    limited-quic
    user haproxy
    group haproxy
    $2
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
frontend site
    bind quic4@127.0.0.1:$1 ssl crt /tmp/site.pem alpn h3
    http-request return status 200 content-type text/plain string hello
END
}
ask() { # PORT CURL-OPTION...: by HTTP/3
    local port=$1
    shift
    chroot "$root" curl --http3-only --insecure --silent "$@" --output /dev/null "https://127.0.0.1:$port/"
}
reloaded() { # PORT LINE: the status of two requests on one connection, three seconds apart, with a reload after one
    local master
    configuration "$@" >"$root/tmp/haproxy.cfg"
    chroot "$root" haproxy -W -db -f /tmp/haproxy.cfg 2>/dev/null &
    master=$!
    await ask "$1"
    (sleep 1 && kill -USR2 "$master") &
    ask "$1" --max-time 4 --rate 20/m --write-out '%{http_code} ' --output /dev/null "https://127.0.0.1:$1/" || true
    kill "$master"
    wait
}
chroot "$root" haproxy -v | sed -n 1p
seen 'port 443: before a reload, and after it' '200 000 ' "$(reloaded 443 '')"
seen 'port 443, setcap: before a reload, and after it' '200 200 ' "$(reloaded 443 'setcap cap_net_bind_service')"
seen 'port 8443: before a reload, and after it' '200 200 ' "$(reloaded 8443 '')"
