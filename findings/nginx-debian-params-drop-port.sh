#!/usr/bin/env bash
# Debian's fastcgi_params take the port out of HTTP_HOST
#
# Software: Debian's nginx 1.22.1-9+deb12u11 (12) and 1.26.3-3+deb13u11 (13), alike; PHP 8.2.36 and 8.4.28.
# Guess:    fastcgi_params set CGI's variables only; HTTP_HOST is what the client sent, "www.example.org:8080", since every
#           header of a request becomes HTTP_… unless the configuration says otherwise. nginx's own file has no HTTP_HOST.
# Happens:  Debian's file says "fastcgi_param HTTP_HOST $host", and $host has no port and is in lower case. It came with an
#           update of stable releases (12: in April 2026, 1.22.1-9+deb12u6): apt-get upgrade changed what pages see.
# Matters:  applications make absolute links, redirects and the allowed origin out of HTTP_HOST: behind a forwarded port or a
#           test port they now lead to port 80. "fastcgi_param HTTP_HOST $http_host" after the include takes it back, where
#           a Host that contradicts the request's target is refused before.
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
        fastcgi_param REQUEST_METHOD $request_method;
        fastcgi_param SCRIPT_FILENAME /srv/host.php;
        location / {
            fastcgi_pass unix:/run/fpm.sock;
        }
        location /params {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME /srv/host.php;
            fastcgi_pass unix:/run/fpm.sock;
        }
        location /again {
            include /etc/nginx/fastcgi_params;
            fastcgi_param HTTP_HOST $http_host;
            fastcgi_param SCRIPT_FILENAME /srv/host.php;
            fastcgi_pass unix:/run/fpm.sock;
        }
    }
}
END
cat >"$root/srv/host.php" <<'END'
<?php
echo $_SERVER['HTTP_HOST'];
END
php_fpm=$(basename "$root"/usr/sbin/php-fpm*)
chroot "$root" nginx -v 2>&1
chroot "$root" "$php_fpm" -n -v | sed -n 1p
chroot "$root" "$php_fpm" -n -y /tmp/fpm.conf
chroot "$root" nginx -c /tmp/nginx.conf 2>/dev/null
await curl --fail --silent http://127.0.0.1:8080/params

host() { curl --silent --header 'Host: WWW.example.org:8080' "http://127.0.0.1:8080/$1"; }
in_file=$(sed -n 's/^fastcgi_param[ \t]*HTTP_HOST[ \t]*\(.*\);/\1/p' "$root/etc/nginx/fastcgi_params")
seen 'HTTP_HOST in the file' "\$host" "$in_file"
seen 'Host: WWW.example.org:8080, without fastcgi_params' WWW.example.org:8080 "$(host '')"
seen 'with fastcgi_params' www.example.org "$(host params)"
seen 'with HTTP_HOST set again after it' WWW.example.org:8080 "$(host again)"
