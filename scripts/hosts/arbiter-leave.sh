# shellcheck shell=bash
# Ends the arbiter that no volume has any more.
#
# Input: FOLDER (where it noted which brick is outdated).
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
forget_steps '*-arbiter' '*-arbiter-agrees' '*-arbiter-notes'
report "no arbiter runs here"
