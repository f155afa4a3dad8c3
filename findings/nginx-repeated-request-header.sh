#!/usr/bin/env bash
# A request header that comes in several lines: PHP sees the last line behind nginx 1.22, all of them behind nginx 1.26
#
# Software: HAProxy 2.6.12, nginx 1.22.1, PHP 8.2.36 (Debian 12); HAProxy 3.0.11, nginx 1.26.3, PHP 8.4.28 (Debian 13).
# Guess:    lines of one name are one list (RFC 9110, 5.3; RFC 3875, 4.1.18), so PHP has them joined with commas, and cookies
#           with semicolons, as HTTP servers have done for decades.
# Happens:  nginx before 1.23 hands each line to FastCGI as a parameter of its own, and PHP keeps the last one. A second
#           "Cookie" line makes the first one's cookies vanish, the session's among them. HAProxy's "option forwardfor" adds a
#           line rather than extends one: PHP has the address of HAProxy's client on Debian 12, "first, second" on Debian 13.
# Matters:  moving a node from one release to the other changes what the same code reads: code that takes
#           HTTP_X_FORWARDED_FOR for one address works on 12 and fails on 13. In between, nodes disagree. Have the
#           balancer write one line of a known form (http-request set-header).
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
    fetch bookworm haproxy=2.6.12-1+deb12u4 nginx=1.22.1-9+deb12u11 php8.2-fpm=8.2.36-1~deb12u1 &
    fetch trixie haproxy=3.0.11-1+deb13u5 nginx=1.26.3-3+deb13u11 php8.4-fpm=8.4.28-1~deb13u1
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

mkdir -p "$root/var/log/nginx" "$root/var/lib/nginx"
cat >"$root/tmp/fpm.conf" <<'END'
[global]
error_log = /tmp/fpm.log
[www]
user = www-data
listen = /run/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 1
END
cat >"$root/tmp/nginx.conf" <<'END'
error_log /tmp/nginx.log;
pid /run/nginx.pid;
events {}
http {
    access_log off;
    server {
        listen 127.0.0.1:8080;
        location / {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME /srv/headers.php;
            fastcgi_pass unix:/run/fpm.sock;
        }
    }
}
END
cat >"$root/tmp/haproxy.cfg" <<'END'
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
listen site
    bind 127.0.0.1:8000
    option forwardfor
    server php1 127.0.0.1:8080
END
cat >"$root/srv/headers.php" <<'END'
<?php
echo $_SERVER['HTTP_' . $_GET['header']] ?? 'nothing';
END
php_fpm=$(basename "$root"/usr/sbin/php-fpm*)
chroot "$root" haproxy -v | sed -n 1p
chroot "$root" nginx -v 2>&1
chroot "$root" "$php_fpm" -n -v | sed -n 1p
chroot "$root" "$php_fpm" -n -y /tmp/fpm.conf
chroot "$root" nginx -c /tmp/nginx.conf 2>/dev/null
chroot "$root" haproxy -D -f /tmp/haproxy.cfg
await curl --fail --silent 'http://127.0.0.1:8000/?header=HOST'

case $root in
    */bookworm) list='b' cookies='lang=en' addresses='127.0.0.1' ;;
    */trixie) list='a, b' cookies='PHPSESSID=1; lang=en' addresses='192.0.2.7, 127.0.0.1' ;;
esac
ask() { curl --silent "http://127.0.0.1:$1/?header=$2" "${@:3}"; }
seen 'nginx, X-List: a and X-List: b' "$list" "$(ask 8080 X_LIST -H 'X-List: a' -H 'X-List: b')"
seen 'nginx, Cookie: PHPSESSID=1 and Cookie: lang=en' "$cookies" \
    "$(ask 8080 COOKIE -H 'Cookie: PHPSESSID=1' -H 'Cookie: lang=en')"
seen 'HAProxy and nginx, X-Forwarded-For: 192.0.2.7' "$addresses" \
    "$(ask 8000 X_FORWARDED_FOR -H 'X-Forwarded-For: 192.0.2.7')"
