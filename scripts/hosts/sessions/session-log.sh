# shellcheck shell=bash
# Begins the log of sessions on a new volume. Whatever the volume has already stays.
#
# Input: MOUNT_POINT. The program of the session service is on this machine.
# Postcondition: the volume has a log. A second run changes nothing.

if [[ ! -d $MOUNT_POINT/log ]]; then
    changing "begins the log of sessions"
    begin() {
        setpriv --reuid=www-data --regid=www-data --clear-groups \
            env PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 python3 -m session_service.begin "$MOUNT_POINT"
    }
    wait_until 60 "the volume takes the log" begin
fi
report "the volume has a log of sessions"
