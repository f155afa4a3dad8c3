# shellcheck shell=bash
# Runs the session service of this PHP node, for a stack whose sessionStore is log.
#
# Input: MOUNT_POINT, SOCKET (where PHP asks), NAME, ADDRESS, PORT (where other nodes ask), RANK (its place among those that write;
# empty: it never does), UNIT, SERVICE_… (a variable for each file of the program: SERVICE_WIRE is wire.py).
# Postcondition: the service runs, with this program. A second run changes nothing.

program=/usr/lib/php-cluster/session_service
for variable in "${!SERVICE_@}"; do
    file=${variable#SERVICE_}
    file=${file,,}
    # What Python runs, and what it reads first, are called like this.
    [[ $file != main && $file != init ]] || file=__${file}__
    put_file "$program/$file.py" 0644 "${!variable}"
done
put_unit php-cluster-session-log.service "$UNIT" MOUNT_POINT SOCKET NAME ADDRESS PORT RANK
reread_if_changed php-cluster-session-log.service
enabled_and_running php-cluster-session-log.service restart
report "the session service runs"
