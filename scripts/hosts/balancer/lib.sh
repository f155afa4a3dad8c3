# shellcheck shell=bash
# What the scripts of this folder share, read before each of them after steps/lib.sh.

admin() { timeout 5 socat - UNIX-CONNECT:/run/haproxy/admin.sock <<<"$1"; }

# haproxy_worker: the number of the process that serves; nothing when none does.
haproxy_worker() { { admin "show info" 2>/dev/null || true; } | sed --quiet 's/^Pid: //p'; }

# is_replaced WORKER: whether another process serves by now.
is_replaced() {
    local now
    now=$(haproxy_worker)
    [[ -n $now && $now != "$1" ]]
}

# await_reload WORKER: waits until a reload has put another process in that one's place. `systemctl reload` does not wait for
# it, and is content when the new one cannot start, for want of a port or of open files: the old one goes on then. Fails, and
# says what HAProxy said.
await_reload() {
    local deadline=$((SECONDS + 30))
    until is_replaced "$1"; do
        ((SECONDS < deadline)) || {
            journalctl --unit haproxy --since -60s --output cat | grep --fixed-strings '[ALERT]' | sed 's/^[^:]*: //' | tail --lines 2 | tr '\n' ' '
            return 1
        }
        sleep 0.2
    done
}
