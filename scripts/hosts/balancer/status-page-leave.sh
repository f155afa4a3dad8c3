# shellcheck shell=bash
# Takes back what status-page.sh has set up.
#
# Input: PAGE_FOLDER. HAProxy does not serve the page any more. Postcondition: nothing is noted, and what was is gone. A second run
# changes nothing.

unit=php-cluster-changes
if [[ -e /etc/systemd/system/$unit.timer ]]; then
    changing "ends the status page"
    systemctl disable --quiet --now "$unit.timer"
    systemctl stop "$unit.socket" "$unit.service"
    rm -rf /etc/systemd/system/$unit{,@}.service /etc/systemd/system/$unit.{socket,timer} \
        /usr/lib/php-cluster/cluster-changes /var/lib/php-cluster/changes "$PAGE_FOLDER"
    systemctl daemon-reload
fi
forget_steps '*-status-page'
report "there is no status page"
