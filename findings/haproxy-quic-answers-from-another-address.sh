#!/usr/bin/env bash
# "bind quic4@*:443" sends a retry from another address than the one that was asked
#
# Software: HAProxy 3.0.11 (Debian 13), curl 8.14.1 as the client.
# Guess:    a listener on all addresses answers from the address that the client asked, as one of TCP does; HAProxy looks up the
#           packet's destination (IP_PKTINFO) for just that.
# Happens:  so for all that belongs to a connection. A retry, and a stateless reset, leave by the listening socket, from the first
#           address of the interface. A client that asked another one, a floating IP say, drops it and gets no connection.
# Matters:  without quic-force-retry it works in every test, since HAProxy asks for a retry only while a hundred handshakes are
#           under way (tune.quic.retry-threshold): under load, or a small flood, nobody new gets in. Bind the address itself,
#           with "transparent" where the machine does not have it yet.
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
cat >"$root/tmp/haproxy.cfg" <<'END'
global
    limited-quic
    cluster-secret secret
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend site
    bind quic4@*:8443 ssl crt /tmp/site.pem alpn h3
    bind quic4@*:8444 ssl crt /tmp/site.pem alpn h3 quic-force-retry
    bind quic4@10.9.0.10:8445 ssl crt /tmp/site.pem alpn h3 quic-force-retry
    http-request return status 200 content-type text/plain string hello
END
# The client is another machine: on this one, all addresses would be its own.
mkdir -p /run/netns
mount -t tmpfs netns /run/netns
ip netns add client
ip link add site0 type veth peer name client0 netns client
ip link set site0 up
ip address add 10.9.0.2/24 dev site0
ip address add 10.9.0.10/24 dev site0
ip -n client link set client0 up
ip -n client address add 10.9.0.50/24 dev client0
status() { # ADDRESS:PORT: what curl gets there by HTTP/3, 000 for nothing
    ip netns exec client chroot "$root" curl --http3-only --insecure --silent --max-time 4 --output /dev/null \
        --write-out '%{http_code}' "https://$1/" || true
}
answers() { [ "$(status 10.9.0.2:8443)" = 200 ]; }
chroot "$root" haproxy -v | sed -n 1p
chroot "$root" haproxy -db -f /tmp/haproxy.cfg 2>/dev/null &
await answers
seen 'all addresses, second address asked' 200 "$(status 10.9.0.10:8443)"
seen 'all addresses, with a retry, first address asked' 200 "$(status 10.9.0.2:8444)"
seen 'all addresses, with a retry, second address asked' 000 "$(status 10.9.0.10:8444)"
seen 'that address alone, with a retry' 200 "$(status 10.9.0.10:8445)"
