#!/usr/bin/env bash
# The same "bind … ssl" line speaks HTTP/1.1 only with HAProxy 2.6, and HTTP/2 with 3.0
#
# Software: HAProxy 2.6.12 (Debian 12) and 3.0.11 (Debian 13).
# Guess:    a bind line without "alpn" offers no protocol, so HTTP/1.1 it is; HTTP/2 is what "alpn h2,http/1.1" switches on, in
#           the new release as in the old one.
# Happens:  so on 2.6. 3.0 offers h2 and http/1.1 by itself, and browsers and curl take h2. "alpn http/1.1" or "no-alpn" keeps
#           it as it was.
# Matters:  an upgrade alone changes what visitors speak: many requests share one connection, which one balancer's end breaks
#           for all of them, and captures and logs show HTTP/2.0. Name the protocols in the line, whichever they shall be.
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
    fetch bookworm haproxy=2.6.12-1+deb12u4 curl openssl &
    fetch trixie haproxy=3.0.11-1+deb13u5 curl openssl
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

chroot "$root" openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=site -keyout /tmp/key -out /tmp/certificate 2>/dev/null
cat "$root"/tmp/{key,certificate} >"$root/tmp/site.pem"
cat >"$root/tmp/haproxy.cfg" <<'END'
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend site
    bind 127.0.0.1:8443 ssl crt /tmp/site.pem
    bind 127.0.0.1:8444 ssl crt /tmp/site.pem alpn http/1.1
    bind 127.0.0.1:8445 ssl crt /tmp/site.pem alpn h2,http/1.1
    http-request return status 200 content-type text/plain string hello
END
version() { # PORT: of HTTP, that curl and HAProxy agree on
    chroot "$root" curl --insecure --silent --output /dev/null --write-out '%{http_version}' "https://127.0.0.1:$1/"
}
chroot "$root" haproxy -v | sed -n 1p
chroot "$root" haproxy -db -f /tmp/haproxy.cfg 2>/dev/null &
await version 8443
case $root in
    */bookworm) default=1.1 ;;
    */trixie) default=2 ;;
esac
seen 'bind … ssl: HTTP version' "$default" "$(version 8443)"
seen 'bind … ssl alpn http/1.1: HTTP version' 1.1 "$(version 8444)"
seen 'bind … ssl alpn h2,http/1.1: HTTP version' 2 "$(version 8445)"
