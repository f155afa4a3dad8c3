#!/usr/bin/env bash
# SENTINEL FAILOVER of a healthy master leaves two masters for eleven seconds, and loses what the old one acknowledges meanwhile
#
# Software: Redis and Sentinel 7.0.15 (Debian 12), 8.0.2 (Debian 13).
# Guess:    with master and replica well, a failover that is asked for loses nothing: the old master stops taking writes, the
#           replica catches up, then the roles change, as the command FAILOVER of Redis itself does it.
# Happens:  Sentinel promotes the replica within 0.3 s and tells the old master nothing for some ten seconds more: it waits until
#           that one has called itself a master for 8 s, and looks every few seconds. Until then both say role:master and take
#           writes. What the old one has acknowledged is gone when it becomes a replica. With min-replicas-to-write 1
#           it refuses as soon as its replica has left it. FAILOVER, without Sentinel, loses nothing.
# Matters:  it is how masters are moved before an upgrade; every client that holds a connection, and HAProxy's usual check for
#           role:master, goes on with the old one. After a cut the old master comes back in the same way.
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
    fetch bookworm redis-server=5:7.0.15-1~deb12u10 redis-sentinel=5:7.0.15-1~deb12u10 &
    fetch trixie redis-server=5:8.0.2-3+deb13u3 redis-sentinel=5:8.0.2-3+deb13u3
    wait $!
    # Each release in namespaces of its own, with which its processes end; both at once, since it is mostly waiting.
    alone=(unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0")
    "${alone[@]}" "$lab/trixie" >"$lab/told" 2>&1 &
    "${alone[@]}" "$lab/bookworm"
    wait $! && status=0 || status=$?
    cat "$lab/told"
    exit "$status"
fi
root=$1
export LC_ALL=C
ip link set lo up
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

chroot "$root" redis-server --version | cut -d ' ' -f 1-3
redis() { chroot "$root" redis-cli -p "$@"; }
chroot "$root" redis-server --daemonize yes --port 6379 --save '' --dir /tmp >/dev/null
chroot "$root" redis-server --daemonize yes --port 6380 --save '' --dir /tmp --replicaof 127.0.0.1 6379 >/dev/null
follows() { redis "$1" info replication | grep --quiet master_link_status:up; }
await follows 6380
cat >"$root/tmp/writer.py" <<'END'
# Stores a key every hundredth of a second in one master while the command is carried out, until that one has become a replica.
import socket
import sys
import time


class Redis:
    def __init__(self, port):
        self.port, self.connection = port, None

    def ask(self, *words):
        for _ in range(2):  # a change of roles ends connections
            try:
                self.connection = self.connection or socket.create_connection(("127.0.0.1", self.port), 5)
                self.connection.sendall(f"{' '.join(words)}\r\n".encode())
                if answer := self.connection.recv(65536):
                    return answer.decode()
            except OSError:
                pass
            self.connection = None
        return ""


name, old, new, asked, *command = sys.argv[1:]
old, new, asked = Redis(old), Redis(new), Redis(asked)
told, both, number = [], [], 0
while number < 50 or not answer.startswith("-READONLY"):
    if number == 50:
        asked.ask(*command)
    answer = old.ask("set", f"{name}{number}", "stored")
    if answer.startswith("+OK"):
        told.append(f"{name}{number}")
    if all("master" in redis.ask("role") for redis in (old, new)):
        both.append(time.monotonic())
    number += 1
    time.sleep(0.01)
time.sleep(1)
lost = sum("stored" not in new.ask("get", key) for key in told)
print("both for 5 s or more," if both and both[-1] - both[0] > 5 else "one,", "hundreds" if lost > 200 else lost, "lost")
END
# tries NAME OLD NEW ASKED COMMAND...: two masters for how long, and how many acknowledged writes are lost
tries() { python3 "$root/tmp/writer.py" "$@"; }
seen 'FAILOVER, without Sentinel: masters, acknowledged writes' 'one, 0 lost' "$(tries plain 6379 6380 6379 failover)"
await redis 6380 failover
await follows 6380

for port in 26379 26380 26381; do
    printf '%s\n' "port $port" 'dir /tmp' 'sentinel monitor mymaster 127.0.0.1 6379 2' \
        'sentinel down-after-milliseconds mymaster 5000' 'sentinel failover-timeout mymaster 60000' >"$root/tmp/sentinel-$port.conf"
    chroot "$root" redis-sentinel "/tmp/sentinel-$port.conf" --daemonize yes >/dev/null
done
three_know_all() { # PORT: that the replica is there
    local port
    for port in 26379 26380 26381; do
        redis "$port" sentinel ckquorum mymaster | grep --quiet 'OK 3 usable' || return 1
        [ "$(redis "$port" sentinel replicas mymaster | grep --count "$1" || true)" != 0 ] || return 1
    done
}
await three_know_all 6380
seen 'SENTINEL FAILOVER' 'both for 5 s or more, hundreds lost' \
    "$(tries sentinel 6379 6380 26379 sentinel failover mymaster)"
await follows 6379
await three_know_all 6379
redis 6379 config set min-replicas-to-write 1 >/dev/null
redis 6380 config set min-replicas-to-write 1 >/dev/null
seen 'the same with min-replicas-to-write 1' 'both for 5 s or more, 0 lost' \
    "$(tries careful 6380 6379 26379 sentinel failover mymaster)"
