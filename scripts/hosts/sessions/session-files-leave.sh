# shellcheck shell=bash
# When all sessions are in the log and no PHP looks for files any more: takes back what the store of files has left.
#
# Input: MOUNT_POINT. Postcondition: no session has a file, and nothing collects such files. A file that holds anything stays and is
# named: it is none of the sessions that were moved. A second run changes nothing.

files() { find "$MOUNT_POINT" -maxdepth 1 -name 'sess_*' "$@"; }

is_mounted || fail "the sessions are not mounted"
if [[ -e /etc/systemd/system/php-cluster-collect.timer ]]; then
    changing "ends the collection of files"
    systemctl disable --quiet --now php-cluster-collect.timer
    rm -f /etc/systemd/system/php-cluster-collect.{service,timer} /usr/lib/php-cluster/collect_sessions.php
    systemctl daemon-reload
fi
if [[ -n $(files -print -quit) ]]; then
    changing "removes the sessions' files, which are empty"
    files -empty -delete
    left=$(files -print -quit)
    [[ -z $left ]] || fail "$left holds a session that was not moved, and that nobody uses: move it away"
fi
report "all sessions are in the log"
