# shellcheck shell=bash
# Runs the arbiter, the one whose word counts when the bricks cannot agree.
#
# Input: FOLDER (where it notes which brick is outdated), PORT, VOLUME_FILE (how it is built), VOLUME, VOLUME_ID, ARBITER_SERVICE
# (unit file).
# Postcondition: the arbiter runs and listens, now and after a boot, at a port that no outgoing connection gets. A second run
# changes nothing. What it has noted stays.

volume_file=/etc/php-cluster/arbiter.vol
unit=php-cluster-arbiter

# listens: whether the arbiter answers, and if not, which connection of another program has its port.
listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>&1 && return
    ss --no-header --tcp --numeric --processes "sport = :$PORT"
    return 1
}

# The kernel gives ports of this range to outgoing connections too, and while one has the arbiter's, the arbiter cannot start.
reserved_ports=/proc/sys/net/ipv4/ip_local_reserved_ports reserved_at_boot=/etc/sysctl.d/60-php-cluster-arbiter.conf
# includes PORTS: whether a list of the kernel's kind, "8080,9000-9100", has the arbiter's port.
includes() {
    local part
    for part in ${1//,/ }; do
        ((${part%-*} > PORT || ${part#*-} < PORT)) || return 0
    done
    return 1
}

reserved=$(<"$reserved_ports")
includes "$reserved" || reserved=${reserved:+$reserved,}$PORT
# Those that others have reserved are in the line, for the last file that names them counts.
line="net.ipv4.ip_local_reserved_ports = $reserved"
if ! holds "$reserved_at_boot" "$line"$'\n' || [[ $(<"$reserved_ports") != "$reserved" ]]; then
    changing "reserves port $PORT for the arbiter"
    put_file "$reserved_at_boot" 0644 "$line"$'\n'
    echo "$reserved" >"$reserved_ports"
fi
arbiter_notes
put_file "$volume_file" 0644 "$VOLUME_FILE"
put_unit "$unit.service" "$ARBITER_SERVICE" volume_file FOLDER
enabled_and_running "$unit" restart
wait_until 60 "the arbiter listens" listens
forget_steps '*-arbiter-left'
report "the arbiter runs"
