#!/usr/bin/env bash
# A server's new port in haproxy.cfg does not count after a reload, where a server state file has the old one
#
# Software: HAProxy 2.6.12 (Debian 12) and 3.0.11 (Debian 13), alike.
# Guess:    load-server-state-from-file brings back what the old process had learned, health and drain; what haproxy.cfg itself
#           says and has just changed comes from haproxy.cfg. So it is with a changed weight, and with a changed address.
# Happens:  the port comes from the file. HAProxy asks the old port, where a health check may even succeed, and says nothing.
#           The next state file is written with the old port again, so that it stays through all later reloads.
# Matters:  a backend that moves to another port on the same machine (a second pool, blue and green) gets no request, or the
#           wrong one does. Reload without the file, or "set server … addr … port …" on the socket, brings the new port.
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
runtime() { # COMMAND: on HAProxy's runtime socket
    python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX) as runtime:
    runtime.connect(sys.argv[1])
    runtime.sendall(sys.argv[2].encode() + b"\n")
    while part := runtime.recv(65536):
        sys.stdout.write(part.decode())
' "$root/run/haproxy.sock" "$1"
}
cat >"$root/tmp/haproxy.cfg" <<'END'
global
    stats socket /run/haproxy.sock level admin
    server-state-file /run/state
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
    load-server-state-from-file global
listen site
    bind 127.0.0.1:8000
    server php1 127.0.0.1:8001 weight 10
END
change() { sed -i "$1" "$root/tmp/haproxy.cfg"; }
load() { # a new process in place of the old one, as a reload does it
    if [ -s "$root/run/haproxy.pid" ]; then
        runtime 'show servers state' >"$root/run/state"
        chroot "$root" haproxy -D -f /tmp/haproxy.cfg -p /run/haproxy.pid -sf "$(cat "$root/run/haproxy.pid")"
    else
        chroot "$root" haproxy -D -f /tmp/haproxy.cfg -p /run/haproxy.pid
    fi 2>/dev/null
    await curl --fail --silent http://127.0.0.1:8000/
}
server() { # address, port and weight that HAProxy has
    runtime 'show servers state site' | awk '$4 == "php1" { print $5 ":" $19 ", weight " $8 }'
}
answers() { curl --silent http://127.0.0.1:8000/; }

chroot "$root" haproxy -v | sed -n 1p
backend 8001 8002
load
seen 'started: php1 is' '127.0.0.1:8001, weight 10' "$(server)"
change 's/weight 10/weight 20/'
load
seen 'weight 20 and a reload' '127.0.0.1:8001, weight 20' "$(server)"
change 's/:8001/:8002/'
load
seen 'port 8002 and a reload' '127.0.0.1:8001, weight 20' "$(server)"
seen 'a request is answered by port' 8001 "$(answers)"
load
seen 'another reload: answered by port' 8001 "$(answers)"
runtime 'set server site/php1 addr 127.0.0.1 port 8002' >/dev/null
seen 'port 8002 by the runtime socket: answered by port' 8002 "$(answers)"
