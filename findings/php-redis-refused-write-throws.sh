#!/usr/bin/env bash
# A session that Redis refuses to store is an exception of php-redis, at a place where no page expects one
#
# Software: php-redis 5.3.7 with PHP 8.2.36 and Redis 7.0.15 (Debian 12), php-redis 6.2.0 with PHP 8.4.28 and Redis 8.0.2 (13).
# Guess:    a session module reports as PHP's own do: session_write_close() warns, "Failed to write session data", and the page
#           goes on. Exceptions are for those who call the class Redis.
# Happens:  READONLY (the server has become a replica) and NOREPLICAS (min-replicas-to-write), as well as a lost connection, are
#           a RedisException out of session_write_close(). Where PHP closes the session itself, at the end, it is an uncaught
#           one, after the shutdown functions, with a fatal error at the end of a page whose status had been 200.
#           A server that cannot be reached when the session is opened, however, is a warning and false.
# Matters:  it is what a failover looks like from PHP. A page that means to survive it must catch \Throwable round
#           session_write_close() and set the status itself.
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
[, $what] = $argv;
ob_start();
register_shutdown_function(fn () => print('shutdown functions done; '));
session_id('visitor');
$opened = session_start(['use_strict_mode' => 0]);
if ($what === 'open') {
    echo 'session_start() ', json_encode($opened), '; ';
    exit;
}
touch('/tmp/opened');
while (!file_exists('/tmp/go')) {
    usleep(10000);
}
$_SESSION['user'] = 'ada';
if ($what === 'close') {
    try {
        session_write_close();
    } catch (Throwable $refused) {
        echo $refused::class, ' ', $refused->getMessage(), '; ';
    }
}
END
page() { # WHAT COMMAND...: a page, with the command carried out between opening and closing of its session
    rm -f "$root/tmp/opened" "$root/tmp/go"
    php_redis -d log_errors=1 -d error_log=/tmp/errors /srv/page.php "$1" >"$root/tmp/page" || true &
    await test -e "$root/tmp/opened"
    "${@:2}" >/dev/null
    touch "$root/tmp/go"
    wait $!
    cat "$root/tmp/page"
}
errors() { sed -n 's/.*PHP Fatal error:  \(Uncaught RedisException: [A-Z]*\).*/\1/p' "$root/tmp/errors"; }
no_replica='NOREPLICAS Not enough good replicas to write.'
read_only="READONLY You can't write against a read only replica."
seen 'session_write_close(), stored' 'shutdown functions done; ' "$(page close redis ping)"
seen 'session_write_close(), min-replicas-to-write 1' "RedisException $no_replica; shutdown functions done; " \
    "$(page close redis config set min-replicas-to-write 1)"
redis config set min-replicas-to-write 0 >/dev/null
seen 'session_write_close(), the server has become a replica' "RedisException $read_only; shutdown functions done; " \
    "$(page close redis replicaof 127.0.0.1 1)"
redis replicaof no one >/dev/null
rm -f "$root/tmp/errors"
seen 'left to PHP, the server has become a replica' 'shutdown functions done; ' "$(page leave redis replicaof 127.0.0.1 1)"
seen 'in the log' 'Uncaught RedisException: READONLY' "$(errors)"
redis shutdown nosave || true
seen 'no server' 'session_start() false; shutdown functions done; ' "$(php_redis /srv/page.php open)"
