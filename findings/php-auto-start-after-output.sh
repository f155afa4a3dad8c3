#!/usr/bin/env bash
# session.auto_start after a displayed warning: a visitor's session is read and not stored, and 8.2 stores some nobody can have
#
# Software: PHP 8.2.36 (Debian 12) and 8.4.28 (Debian 13), display_errors on, no output buffering: PHP's defaults without php.ini.
# Guess:    session.auto_start opens the session before anything is sent, so a page always has one; and if it cannot, then
#           $_SESSION is empty, and nothing is stored.
# Happens:  PHP itself can write before that: "Input variables exceeded". The page of a visitor with a valid cookie then finds all
#           his data in $_SESSION, but the session is not active, since the cache limiter's headers cannot be sent, and nothing
#           that the page puts there is stored; with session.cache_limiter empty it is. For a visitor without a cookie 8.4 opens
#           no session; 8.2 stores one, at each request, under an id that no cookie tells, and with an empty cache_limiter the
#           page sees it as active.
# Matters:  data in $_SESSION does not mean that there is a session, nor, on 8.2, session_status() that anybody can come back for
#           it. display_errors off and output_buffering on, as in Debian's php.ini, keep all of this away.
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
    fetch bookworm php8.2-cgi=8.2.36-1~deb12u1 &
    fetch trixie php8.4-cgi=8.4.28-1~deb13u1
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

cat >"$root/srv/page.php" <<'END'
<?php
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
echo "\nvisits ", $_SESSION['visits'], session_status() === PHP_SESSION_ACTIVE ? '' : ', no session', "\n";
END
php=$(basename "$root"/usr/bin/php-cgi8*)
cookie=PHPSESSID=0123456789abcdef0123456789abcdef
visit() { # CACHE-LIMITER INPUT-VARIABLES COOKIE: what the page says, and what is stored
    rm -f "$root"/tmp/sess_*
    if [ -n "$3" ]; then printf 'visits|i:41;' >"$root/tmp/sess_${3#*=}"; fi
    env --ignore-environment REDIRECT_STATUS=1 REQUEST_METHOD=GET QUERY_STRING='a=1&b=2' SCRIPT_FILENAME=/srv/page.php \
        HTTP_COOKIE="$3" /usr/sbin/chroot "$root" "/usr/bin/$php" -n -d session.auto_start=1 -d session.save_path=/tmp \
        -d "session.cache_limiter=$1" -d "max_input_vars=$2" | tr -d '\r' >"$root/tmp/answer"
    stored=$(cat "$root/tmp/sess_${3#*=}" 2>/dev/null || true)
    rm -f "$root/tmp/sess_${3#*=}"
    {
        sed -n '/^visits/p' "$root/tmp/answer"
        if [ -n "$stored" ]; then echo ", stored ${stored//[^0-9]/}"; fi
        if grep -q ^Set-Cookie: "$root/tmp/answer"; then echo ', cookie'; fi
        find "$root/tmp" -name 'sess_*' -exec echo ', session made' \;
    } | tr -d '\n'
}
chroot "$root" "$php" -n -v | sed -n 1p
seen 'known visitor' 'visits 42, stored 42' "$(visit nocache 9 "$cookie")"
seen 'new visitor' 'visits 1, cookie, session made' "$(visit nocache 9 '')"
case $root in
    */bookworm) new='visits 1, no session, session made' new_empty='visits 1, session made' ;;
    */trixie) new='visits 1, no session' new_empty=$new ;;
esac
seen 'known visitor, a warning first' 'visits 42, no session, stored 41' "$(visit nocache 1 "$cookie")"
seen 'new visitor, a warning first' "$new" "$(visit nocache 1 '')"
seen 'known visitor, a warning first, cache_limiter empty' 'visits 42, stored 42' "$(visit '' 1 "$cookie")"
seen 'new visitor, a warning first, cache_limiter empty' "$new_empty" "$(visit '' 1 '')"
