#!/usr/bin/env bash
# php-redis locks a session for max_execution_time, and a request that outlives its lock overwrites what came after
#
# Software: php-redis 5.3.7 with PHP 8.2.36 and Redis 7.0.15 (Debian 12), php-redis 6.2.0 with PHP 8.4.28 and Redis 8.0.2 (13).
# Guess:    redis.session.locking_enabled=1 gives what "files" gives: who holds the lock holds it until it closes the session;
#           at the least, a lock that was lost is found out before the write, since that is what its secret value is for.
# Happens:  the lock's life is max_execution_time in seconds of the clock, while PHP counts its own CPU time there: a page that
#           waits for a payment provider goes on, its lock does not. It then writes without looking, and an update that
#           was stored and answered meanwhile is gone; session_write_close() returns true. With redis.session.lock_expire set
#           to a number the lock is looked at: the write is refused, with a warning that 5.3.7 and 6.2.0 word differently.
# Matters:  whoever switched locking on against lost updates has them still, in the slow requests, where they are likeliest.
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
    fetch bookworm php8.2-cli=8.2.36-1~deb12u1 php8.2-redis=5.3.7+4.3.0-3 redis-server=5:7.0.15-1~deb12u10 &
    fetch trixie php8.4-cli=8.4.28-1~deb13u1 php8.4-redis=6.2.0-1 redis-server=5:8.0.2-3+deb13u3
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

php=$(basename "$root"/usr/bin/php8*)
chroot "$root" redis-server --version | cut -d ' ' -f 1-3
chroot "$root" redis-server --daemonize yes --port 0 --unixsocket /run/redis.sock --save '' >/dev/null
await test -S "$root/run/redis.sock"
redis() { chroot "$root" redis-cli -s /run/redis.sock "$@"; }
# igbinary is a module of its own, which php-redis needs on both releases.
php_redis() {
    chroot "$root" "$php" -n -d extension=igbinary.so -d extension=redis.so -d html_errors=0 -d display_errors=0 \
        -d session.save_handler=redis -d session.save_path=unix:///run/redis.sock "$@"
}
chroot "$root" "$php" -n -v | sed -n 1p
echo "php-redis $(php_redis -r 'echo phpversion("redis");')"
cat >"$root/srv/page.php" <<'END'
<?php
[, $name] = $argv;
session_id('visitor');
session_start(['use_strict_mode' => 0]);
touch("/tmp/$name-started");
$_SESSION[$name] = 'stored';
while ($name === 'slow' && !file_exists('/tmp/go')) {
    usleep(10000);
}
$closed = session_write_close();
$warning = preg_replace('/^.*?: /', '', error_get_last()['message'] ?? '');
echo json_encode($closed), $warning === '' ? '' : ', warned';
END
visitor=PHPREDIS_SESSION:visitor
two_pages() { # SETTING...: a page that waits, and one that comes and goes when the first one's lock has ended
    redis flushall >/dev/null
    rm -f "$root/tmp/go" "$root/tmp/slow-started"
    php_redis -d redis.session.locking_enabled=1 "$@" /srv/page.php slow >"$root/tmp/slow" &
    await test -e "$root/tmp/slow-started"
    seen 'the slow page holds the lock' 1 "$(redis exists ${visitor}_LOCK)"
    await lock_ended
    seen 'a quick page, when the lock has ended, closes with' true \
        "$(php_redis -d redis.session.locking_enabled=1 "$@" /srv/page.php quick)"
    seen 'stored' 'quick|s:6:"stored";' "$(redis get $visitor)"
    touch "$root/tmp/go"
    wait
}
lock_ended() { [ "$(redis exists ${visitor}_LOCK)" = 0 ]; }

echo 'max_execution_time=1'
two_pages -d max_execution_time=1
seen 'the slow page closes with' true "$(cat "$root/tmp/slow")"
seen 'stored: the quick page is overwritten' 'slow|s:6:"stored";' "$(redis get $visitor)"
echo 'redis.session.lock_expire=1'
two_pages -d redis.session.lock_expire=1
seen 'the slow page closes with' 'true, warned' "$(cat "$root/tmp/slow")"
seen 'stored: the quick page is kept' 'quick|s:6:"stored";' "$(redis get $visitor)"
