# shellcheck shell=bash
# Begins the log of sessions on a new volume. Whatever the volume has already stays.
#
# Input: MOUNT_POINT, SOCKET (where this node's session service is asked). The service runs.
# Postcondition: the volume has a log, and somebody writes it. A second run changes nothing.

export PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1
if [[ ! -d $MOUNT_POINT/log ]]; then
    changing "begins the log of sessions"
    begin() {
        setpriv --reuid=www-data --regid=www-data --clear-groups python3 -m session_service.begin "$MOUNT_POINT"
    }
    wait_until 60 "the volume takes the log" begin
fi
wait_until 60 "a session service writes the log" finds_a_writer
report "the log of sessions is written"
