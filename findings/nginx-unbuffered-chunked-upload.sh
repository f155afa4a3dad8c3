#!/usr/bin/env bash
# An upload without a length reaches PHP as an empty body where nginx does not buffer requests
#
# Software: nginx 1.22.1 and PHP 8.2.36 (Debian 12), nginx 1.26.3 and PHP 8.4.28 (Debian 13), alike.
# Guess:    "fastcgi_request_buffering off" passes the body on as it comes; FastCGI's stdin has an end mark of its own, so PHP
#           reads up to that, or refuses what has no length (411).
# Happens:  nginx sends CONTENT_LENGTH empty and streams the whole body all the same, PHP takes that for a length of nothing
#           and does not read: php://input, $_POST and $_FILES are empty, the answer is 200. With buffering on, nginx has
#           counted the body and everything is there.
# Matters:  the setting is praised for large uploads. Browsers send lengths; mobile apps, WebDAV clients and anything that
#           pipes (curl -T -) do not, HAProxy passes their chunks on as they are, and files arrive empty without an error.
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
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /srv/body.php;
        location / {
            fastcgi_pass unix:/run/fpm.sock;
        }
        location /unbuffered {
            fastcgi_request_buffering off;
            fastcgi_pass unix:/run/fpm.sock;
        }
    }
}
END
cat >"$root/srv/body.php" <<'END'
<?php
echo strlen(file_get_contents('php://input'));
END
php_fpm=$(basename "$root"/usr/sbin/php-fpm*)
chroot "$root" nginx -v 2>&1
chroot "$root" "$php_fpm" -n -v | sed -n 1p
chroot "$root" "$php_fpm" -n -y /tmp/fpm.conf
chroot "$root" nginx -c /tmp/nginx.conf 2>/dev/null
await curl --fail --silent http://127.0.0.1:8080/

head -c 100000 /dev/zero >"$root/tmp/upload"
length() { curl --silent --write-out ' bytes, status %{http_code}' --data-binary @"$root/tmp/upload" "$@"; }
chunked=(-H 'Transfer-Encoding: chunked')
seen 'buffered, with a length' '100000 bytes, status 200' "$(length http://127.0.0.1:8080/)"
seen 'buffered, chunked' '100000 bytes, status 200' "$(length "${chunked[@]}" http://127.0.0.1:8080/)"
seen 'unbuffered, with a length' '100000 bytes, status 200' "$(length http://127.0.0.1:8080/unbuffered)"
seen 'unbuffered, chunked' '0 bytes, status 200' "$(length "${chunked[@]}" http://127.0.0.1:8080/unbuffered)"
