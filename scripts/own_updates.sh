# shellcheck shell=bash
# Comes before what asks a machine how it is (scripts/existing/facts.sh, scripts/probe.sh).

# own_updates: says when unattended-upgrades installs updates by itself, if it does: a line "own_updates BEGIN MINUTES" for each window
# of a day, "own_reboot BEGIN MINUTES" if the machine boots then by itself, at an hour of its own. BEGIN is the minute of the day in UTC.
own_updates() {
    local does='' enabled='' reboots='' at='' delay
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' unattended-upgrades 2>/dev/null) == installed ]] || return 0
    eval "$(apt-config shell does APT::Periodic::Unattended-Upgrade enabled APT::Periodic::Enable \
        reboots Unattended-Upgrade::Automatic-Reboot at Unattended-Upgrade::Automatic-Reboot-Time)"
    [[ ${does:-0} != 0 && ${enabled:-1} != 0 ]] && systemctl is-active --quiet apt-daily-upgrade.timer || return 0
    delay=$(systemd-analyze timespan "$(systemctl show --property=RandomizedDelayUSec --value apt-daily-upgrade.timer)" | sed --quiet 's/.*s: \([0-9]*\)$/\1/p')
    systemctl show --property=TimersCalendar --value apt-daily-upgrade.timer | sed 's/^{ OnCalendar=\(.*\) ; next_elapse=.*/\1/' \
        | while read -r when; do LC_ALL=C systemd-analyze calendar --iterations=5 "$when"; done \
        | sed --quiet 's/.*[0-9]-[0-9][0-9]-[0-9][0-9] \([0-9][0-9]\):\([0-9][0-9]\):[0-9][0-9] UTC$/\1 \2/p' \
        | awk -v delay="${delay:-0}" '{ print "own_updates", $1 * 60 + $2, int(delay / 60000000) + 30 }' | sort --unique
    if [[ $reboots == @(1|true|yes) ]]; then
        if [[ ${at:-now} == now ]]; then
            # As soon as they are installed.
            echo own_reboot
        else
            date --utc --date "$at" '+%H %M' | awk '{ print "own_reboot", $1 * 60 + $2, 10 }'
        fi
    fi
}
