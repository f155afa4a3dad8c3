# shellcheck shell=bash
# Ends the arbiter that no volume has any more.
#
# Input: FOLDER (where it noted which brick is outdated), PORT.
# Postcondition: no arbiter runs here, now or after a boot, and nothing of it is left. A second run changes nothing.

unit=php-cluster-arbiter
if [[ -e /etc/systemd/system/$unit.service ]]; then
    changing "ends the arbiter"
    systemctl disable --quiet --now "$unit"
    rm "/etc/systemd/system/$unit.service"
    systemctl daemon-reload
fi
if [[ -e $FOLDER || -e /etc/php-cluster/arbiter.vol ]]; then
    changing "removes what it left"
    rm -rf "$FOLDER" /etc/php-cluster/arbiter.vol
fi
reserved_ports=/proc/sys/net/ipv4/ip_local_reserved_ports reserved_at_boot=/etc/sysctl.d/60-php-cluster-arbiter.conf
if [[ -e $reserved_at_boot ]]; then
    changing "gives port $PORT back"
    # Those that others have reserved stay so.
    others=$(tr , '\n' <"$reserved_ports" | sed "/^$PORT\$/d" | paste --serial --delimiters ,)
    echo "$others" >"$reserved_ports"
    rm "$reserved_at_boot"
fi
forget_steps '*-arbiter' '*-arbiter-agrees' '*-arbiter-notes'
report "no arbiter runs here"
