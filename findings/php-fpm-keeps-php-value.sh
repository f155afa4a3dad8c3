#!/usr/bin/env bash
# What nginx sets by PHP_VALUE or PHP_ADMIN_VALUE for one location stays in the FPM worker for all later requests
#
# Software: nginx 1.22.1 with PHP 8.2.36 (Debian 12), nginx 1.26.3 with PHP 8.4.28 (Debian 13), alike.
# Guess:    these are parameters of a request, as Apache's php_value is one of a directory: PHP sets them for this request, and
#           puts the pool's values back at its end.
# Happens:  the worker keeps them until it ends. Whoever is served by it next has them, a location that sets nothing
#           included; and what came once by PHP_ADMIN_VALUE can from then on not be changed by any page's ini_set().
# Matters:  with several workers a page has one memory_limit or another by chance, and after pm.max_requests, a reload or on a
#           new node it is right again. Give what differs a pool of its own (php_value in its file).
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
    fetch bookworm nginx=1.22.1-9+deb12u11 php8.2-fpm=8.2.36-1~deb12u1 &
    fetch trixie nginx=1.26.3-3+deb13u11 php8.4-fpm=8.4.28-1~deb13u1
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
            fastcgi_param SCRIPT_FILENAME /srv/limit.php;
            fastcgi_pass unix:/run/fpm.sock;
        }
        location /import {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME /srv/limit.php;
            fastcgi_param PHP_VALUE memory_limit=300M;
            fastcgi_pass unix:/run/fpm.sock;
        }
        location /report {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME /srv/limit.php;
            fastcgi_param PHP_ADMIN_VALUE memory_limit=400M;
            fastcgi_pass unix:/run/fpm.sock;
        }
    }
}
END
cat >"$root/srv/limit.php" <<'END'
<?php
echo ini_get('memory_limit'), ini_set('memory_limit', '200M') === false ? ', fixed' : ', ini_set works';
END
php_fpm=$(basename "$root"/usr/sbin/php-fpm*)
chroot "$root" nginx -v 2>&1
chroot "$root" "$php_fpm" -n -v | sed -n 1p
chroot "$root" "$php_fpm" -n -y /tmp/fpm.conf
chroot "$root" nginx -c /tmp/nginx.conf 2>/dev/null
await curl --fail --silent http://127.0.0.1:8080/

limit() { curl --silent "http://127.0.0.1:8080/$1"; }
seen '/' '128M, ini_set works' "$(limit '')"
seen '/import, PHP_VALUE memory_limit=300M' '300M, ini_set works' "$(limit import)"
seen '/ after it' '300M, ini_set works' "$(limit '')"
seen '/report, PHP_ADMIN_VALUE memory_limit=400M' '400M, fixed' "$(limit report)"
seen '/ after it' '400M, fixed' "$(limit '')"
seen '/import, PHP_VALUE memory_limit=300M, after it' '300M, fixed' "$(limit import)"
