# shellcheck shell=bash
# Runs the session service of this PHP node, for a stack whose sessionStore is log.
#
# Input: MOUNT_POINT, SOCKET (where PHP asks), NAME, ADDRESS, PORT (where other nodes ask), RANK (its place among those that write;
# empty: it never does), UNIT, BUILD_SERVICE, COMPILER, SOURCE_… (a variable for each file of the service: SOURCE_WIRE_C is wire.c),
# TOOL_… (and of the programs that ask it: TOOL_ASK is ask.py).
# Postcondition: the service runs, with this program. A second run changes nothing.

folder=/usr/lib/php-cluster
put_sources "$folder/service"
kept=()
for variable in "${!TOOL_@}"; do
    file=${variable#TOOL_}
    file=${file,,}
    # What Python reads first is called like this.
    [[ $file != init ]] || file=__${file}__
    kept+=("$file.py")
    put_file "$folder/session_service/${kept[-1]}" 0644 "${!variable}"
done
remove_others "$folder/session_service" "${kept[@]}"
put_file "$folder/compiler" 0644 "$COMPILER"
put_file "$folder/build-service" 0755 "$BUILD_SERVICE"
if ! "$folder/build-service" is-made "$folder/session-service"; then
    changing "compiles the session service"
    said=$("$folder/build-service" make "$folder/session-service" 2>&1) || fail "the session service cannot be made: $said"
fi
put_unit php-cluster-session-log.service "$UNIT" MOUNT_POINT SOCKET NAME ADDRESS PORT RANK
reread_if_changed php-cluster-session-log.service
enabled_and_running php-cluster-session-log.service restart
report "the session service runs"
