#!/usr/bin/env bash
# A value that cannot be serialized costs the visitor the whole session, where session_write_close() is called
#
# Software: PHP 8.2.36 (Debian 12), PHP 8.4.28 (Debian 13), alike: the session modules written in C, "files" here; php-redis
#           5.3.7 and 6.2.0 and php-memcached 3.2.0 and 3.3.0 were seen to do the same.
# Guess:    serialize() throws ("Serialization of 'Closure' is not allowed"), so nothing is written and the stored session stays
#           as it was. It is what happens when PHP itself closes the session at the end of the request.
# Happens:  session_write_close() throws too, but what was serialized before the exception is stored all the same, torn off
#           in the middle. The next session_start() cannot decode that, warns, and destroys the session: the visitor is
#           logged out by a page that failed for another reason. A handler written in PHP is not called, and keeps the old data.
# Matters:  frameworks always call session_write_close() themselves. An object with a closure or a database connection in it
#           that slips into a session is then not one failed page but a lost login and basket.
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
    fetch bookworm php8.2-cli=8.2.36-1~deb12u1 &
    fetch trixie php8.4-cli=8.4.28-1~deb13u1
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

cat >"$root/srv/session.php" <<'END'
<?php
class OwnHandler implements SessionHandlerInterface
{
    public function open(string $path, string $name): bool { return true; }
    public function close(): bool { return true; }
    public function read(string $id): string|false { return (string) @file_get_contents("/tmp/own_$id"); }
    public function write(string $id, string $data): bool { return (bool) file_put_contents("/tmp/own_$id", $data); }
    public function destroy(string $id): bool { return unlink("/tmp/own_$id"); }
    public function gc(int $lifetime): int|false { return 0; }
}

[, $handler, $action] = $argv;
if ($handler === 'own') {
    session_set_save_handler(new OwnHandler());
}
session_id('visitor');
@session_start(['save_path' => '/tmp', 'use_strict_mode' => 0]);
if ($action === 'login') {
    $_SESSION['user'] = 'ada';
} elseif ($action === 'look') {
    echo json_encode($_SESSION);
} else {
    $_SESSION['callback'] = fn () => 1;
    if ($action === 'close') {
        try {
            session_write_close();
        } catch (Throwable $refused) {
            echo $refused->getMessage();
        }
    }
}
END
php=$(basename "$root"/usr/bin/php8*)
chroot "$root" "$php" -n -v | sed -n 1p
session() { chroot "$root" "$php" -n -d display_errors=0 /srv/session.php "$@" 2>/dev/null || true; }
for handler in files own; do
    kept='{"user":"ada"}' after_close='[]'
    if [ "$handler" = own ]; then after_close=$kept; fi
    session $handler login
    seen "$handler: a session" "$kept" "$(session $handler look)"
    session $handler leave
    seen "$handler: a closure, PHP closes the session itself" "$kept" "$(session $handler look)"
    seen "$handler: a closure, session_write_close() says" "Serialization of 'Closure' is not allowed" "$(session $handler close)"
    if [ "$handler" = files ]; then seen 'files: stored' 'user|s:3:"ada";callback|' "$(cat "$root/tmp/sess_visitor")"; fi
    seen "$handler: the session at the next request" "$after_close" "$(session $handler look)"
done
