#!/usr/bin/env bash
# "option redispatch" tries another server at once, or after two seconds, depending on whether a cookie chose the first one
#
# Software: HAProxy 2.6.12 (Debian 12) and 3.0.11 (Debian 13), alike.
# Guess:    the manual: "redispatch" leaves the server at the last of the three retries, and a refused connection is tried again
#           after a second; so a visitor of a dead PHP node waits for two to three seconds, whatever chose the server.
# Happens:  where round robin chose it, the first refused connection already goes to another server, in milliseconds. Where
#           a cookie did, the same server is tried for two seconds before. Without the option a refused connection is tried on
#           the dead server only, for three seconds, and answered with 503, though the next server is well and nothing binds
#           the visitor to the dead one.
# Matters:  a test without a cookie shows a failover in milliseconds that visitors with one do not get. "option redispatch 1"
#           is at once for both.
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
    fetch bookworm haproxy=2.6.12-1+deb12u4 &
    fetch trixie haproxy=3.0.11-1+deb13u5
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

backend() { # PORT...: web servers that answer with their own port
    python3 - "$@" <<'END' &
import http.server, sys, threading

class Port(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % self.server.server_address[1])

    def log_message(self, *_):
        pass

for port in sys.argv[1:]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Port)
    threading.Thread(target=server.serve_forever).start()
END
    for port in "$@"; do await curl --fail --silent "http://127.0.0.1:$port/"; done
}
configuration() { # OPTION: two servers without checks, as in the seconds before a check has failed
    cat <<END
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
    $1
listen site
    bind 127.0.0.1:8000
    balance roundrobin
    cookie server insert
    server php1 127.0.0.1:8001 cookie php1
    server php2 127.0.0.1:8002 cookie php2
END
}
visit() { # OPTION CURL-ARGUMENT...: the first request to a new HAProxy; status and whole seconds
    configuration "$1" >"$root/tmp/haproxy.cfg"
    chroot "$root" haproxy -D -f /tmp/haproxy.cfg -p /run/haproxy.pid 2>/dev/null
    await grep -q :1F40 /proc/net/tcp # port 8000
    curl --silent --output /dev/null --write-out '%{http_code} %{time_total}' "${@:2}" http://127.0.0.1:8000/ \
        | awk '{ printf "%s after %d s", $1, $2 }'
    kill "$(cat "$root/run/haproxy.pid")"
    await bash -c '! grep -q :1F40.*:0000.0A /proc/net/tcp'
}

chroot "$root" haproxy -v | sed -n 1p
backend 8002
seen 'option redispatch, round robin chose php1' '200 after 0 s' "$(visit 'option redispatch')"
seen 'option redispatch, a cookie chose php1' '200 after 2 s' "$(visit 'option redispatch' --cookie server=php1)"
seen 'option redispatch 1, a cookie chose php1' '200 after 0 s' "$(visit 'option redispatch 1' --cookie server=php1)"
seen 'no option, round robin chose php1' '503 after 3 s' "$(visit 'no option redispatch')"
