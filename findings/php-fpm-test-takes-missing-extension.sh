#!/usr/bin/env bash
# php-fpm --test is successful though an extension is missing, and by PHP's defaults neither it nor the daemon names that
#
# Software: PHP-FPM 8.2.36 (Debian 12) and 8.4.28 (Debian 13), alike; a page is asked for by nginx 1.22.1 and 1.26.3.
# Guess:    the test fails for what PHP cannot do, as that of nginx does: an extension that is not there, "memory_limit = 256"
#           (bytes, its M forgotten), a line that cannot be parsed. So it does for a mistake in the file of a pool.
# Happens:  nothing in the ini files makes it fail. It says "test is successful", status 0, and the daemon starts without the
#           extension and with the default limit. By PHP's defaults (display_errors and display_startup_errors on, log_errors
#           off) neither of them names the mistakes anywhere; php on the command line does. With Debian's php.ini, which turns
#           all three round, both name them and go on; with an error_log they are named in that file alone.
# Matters:  a deployment that goes by the status of --test serves pages without the extension, and by PHP's defaults no log says
#           why. Ask PHP-FPM what came of the files: "php-fpm -c FILE -m" lists extensions, -i values.
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
pid = /run/fpm.pid
error_log = /tmp/fpm.log
[www]
user = www-data
listen = /run/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 1
END
sed 's/static/nonsense/' "$root/tmp/fpm.conf" >"$root/tmp/nonsense.conf"
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
            fastcgi_param SCRIPT_FILENAME /srv/loaded.php;
            fastcgi_pass unix:/run/fpm.sock;
        }
    }
}
END
cat >"$root/srv/loaded.php" <<'END'
<?php
$loaded = array_filter(['ctype', 'missing'], 'extension_loaded');
echo implode(', ', $loaded), '; memory_limit ', ini_get('memory_limit');
END
printf '%s\n' extension=ctype 'memory_limit = 256M' >"$root/tmp/right.ini"
printf '%s\n' extension=ctype extension=missing 'memory_limit = 256' >"$root/tmp/wrong.ini"
printf '%s\n' extension=ctype 'date.timezone = (' 'memory_limit = 256M' >"$root/tmp/broken.ini"
cat "$root"/usr/lib/php/*/php.ini-production "$root/tmp/wrong.ini" >"$root/tmp/debian.ini"
(cat "$root/tmp/debian.ini" && echo 'error_log = /tmp/php.log') >"$root/tmp/logged.ini"

php_fpm=$(basename "$root"/usr/sbin/php-fpm*)
php=$(basename "$root"/usr/bin/php[0-9]*)
names() { # FILE...: which of the mistakes these name
    local named=''
    ! grep -q "Unable to load dynamic library 'missing'" "$@" || named+=' extension'
    ! grep -q 'Failed to set memory limit to 256 bytes' "$@" || named+=' limit'
    ! grep -q 'syntax error' "$@" || named+=' syntax'
    ! grep -q "unable to parse value for entry 'pm'" "$@" || named+=' pool'
    echo "names${named:- nothing}"
}
told() { # COMMAND...: its status, and what it names
    local status=0
    chroot "$root" "$@" >"$root/tmp/said" 2>&1 || status=$?
    echo "status $status, $(names "$root/tmp/said")"
}
tested() { # COMMAND...: the same of php-fpm --test, and whether it says that it was successful
    local said
    said=$(told "$php_fpm" --test "$@")
    echo "$said$(grep -q 'test is successful' "$root/tmp/said" && echo ', successful')"
}
served() { # INI: what a page sees of a daemon that has it, and what the daemon named up to then
    rm -f "$root/tmp/fpm.log"
    chroot "$root" "$php_fpm" -c "$1" -y /tmp/fpm.conf >"$root/tmp/started" 2>&1
    await curl --fail --silent http://127.0.0.1:8080/
    echo "$(curl --silent http://127.0.0.1:8080/); $(names "$root"/tmp/{started,fpm.log})"
    kill "$(cat "$root/run/fpm.pid")"
    await gone
}
gone() { [ ! -e "$root/run/fpm.pid" ]; }

chroot "$root" nginx -v 2>&1
chroot "$root" "$php_fpm" -n -v | sed -n 1p
chroot "$root" nginx -c /tmp/nginx.conf 2>/dev/null
seen '--test, a mistake in the pool' 'status 78, names pool' "$(tested -n -y /tmp/nonsense.conf)"
seen '--test, all right' 'status 0, names nothing, successful' "$(tested -c /tmp/right.ini -y /tmp/fpm.conf)"
seen 'php-fpm, all right' 'ctype; memory_limit 256M; names nothing' "$(served /tmp/right.ini)"
seen "php, PHP's defaults" 'status 0, names extension limit' "$(told "$php" -c /tmp/wrong.ini -v)"
seen "--test, PHP's defaults" 'status 0, names nothing, successful' "$(tested -c /tmp/wrong.ini -y /tmp/fpm.conf)"
seen "php-fpm, PHP's defaults" 'ctype; memory_limit 128M; names nothing' "$(served /tmp/wrong.ini)"
seen "--test, Debian's php.ini" 'status 0, names extension limit, successful' "$(tested -c /tmp/debian.ini -y /tmp/fpm.conf)"
seen "php-fpm, Debian's php.ini" 'ctype; memory_limit 128M; names extension limit' "$(served /tmp/debian.ini)"
seen '--test, with an error_log' 'status 0, names nothing, successful' "$(tested -c /tmp/logged.ini -y /tmp/fpm.conf)"
seen 'the error_log' 'names extension limit' "$(names "$root/tmp/php.log")"
seen '--test, a line that cannot be parsed' 'status 0, names syntax, successful' "$(tested -c /tmp/broken.ini -y /tmp/fpm.conf)"
seen 'php-fpm, the lines below it' 'ctype; memory_limit 128M; names syntax' "$(served /tmp/broken.ini)"
asked() { chroot "$root" "$php_fpm" -c /tmp/wrong.ini "$@"; }
seen "php-fpm -m, PHP's defaults" 'ctype' "$(asked -m | grep -x -e ctype -e missing | xargs)"
seen "php-fpm -i, PHP's defaults" 'memory_limit => 128M => 128M' "$(asked -i | grep -a ^memory_limit)"
