#!/usr/bin/env bash
# sshd of OpenSSH 10 shuts out an address that only looked whether it answers, the right key too
#
# Software: OpenSSH 9.2 (Debian 12) and 10.0 (Debian 13).
# Guess:    connecting to port 22 and going away harms nobody: that is how one waits for a machine, and how monitoring looks.
#           MaxStartups counts such connections only while they are open.
# Happens:  so on 9.2. On 10.0 each costs its address a second (PerSourcePenalties, on by default), and each refused key five;
#           once they are more than fifteen, connections are closed with "Not allowed at this time" until the time is over, by
#           who has the right key as well.
# Matters:  a loop that waits for port 22 several times a second, or tries a few keys, locks out the deployment that comes next
#           from the same address, behind NAT also that of others. Log in to find out, once a second at the most, or exempt the
#           address (PerSourcePenaltyExemptList).
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
    fetch bookworm openssh-server=1:9.2p1-2+deb12u10 &
    fetch trixie openssh-server=1:10.0p1-7+deb13u4
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

echo 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' >>"$root/etc/passwd"
mkdir -p "$root/run/sshd" "$root/etc/ssh"
for key in host right wrong; do
    chroot "$root" ssh-keygen -q -t ed25519 -N '' -f "/tmp/$key"
done
cp "$root/tmp/right.pub" "$root/etc/ssh/authorized_keys"
cat >"$root/tmp/sshd.conf" <<'END'
ListenAddress 127.0.0.1
HostKey /tmp/host
AuthorizedKeysFile /etc/ssh/authorized_keys
PidFile none
END
login() { # KEY: what becomes of it
    chroot "$root" ssh -F none -i "/tmp/$1" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null root@127.0.0.1 'echo welcome' 2>/dev/null || echo refused
}
look() { # what sshd says first
    local said=
    exec 3<>/dev/tcp/127.0.0.1/22
    read -r said <&3 || true
    exec 3>&-
    tr -d '\r' <<<"${said%%_*}"
}
start() {
    chroot "$root" /usr/sbin/sshd -D -E /tmp/sshd.log -f /tmp/sshd.conf &
    daemon=$!
    await welcome
}
welcome() { [ "$(login right)" = welcome ]; }
stop() {
    kill "$daemon"
    wait "$daemon" || true
}
case $root in
    */bookworm) last='SSH-2.0-OpenSSH' login=welcome ;;
    */trixie) last='Not allowed at this time' login=refused ;;
esac
chroot "$root" ssh -V 2>&1
start
seen 'login with the right key' welcome "$(login right)"
for _ in {1..40}; do look; done >"$root/tmp/looks"
seen 'looked forty times: the first answer' SSH-2.0-OpenSSH "$(sed -n 1p "$root/tmp/looks")"
seen 'looked forty times: the last answer' "$last" "$(sed -n '$p' "$root/tmp/looks")"
seen 'login with the right key' "$login" "$(login right)"
stop

start
for _ in {1..6}; do login wrong >/dev/null; done
seen 'six logins with a wrong key, then with the right one' "$login" "$(login right)"
stop
