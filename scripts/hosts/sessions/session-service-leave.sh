# shellcheck shell=bash
# Takes back what session-service.sh has set up, when no PHP asks the service any more.
#
# Input: none. Postcondition: the service is gone. A second run changes nothing.

unit=php-cluster-session-log.service
folder=/usr/lib/php-cluster
if [[ -e /etc/systemd/system/$unit || -d $folder/session_service ]]; then
    changing "ends the session service"
    systemctl disable --quiet --now "$unit" 2>/dev/null || true
    rm -rf "/etc/systemd/system/$unit" "$folder"/{session_service,service,session-service,session-service.made-of,build-service}
    systemctl daemon-reload
fi
forget_steps '*-session-service'
report "there is no session service"
