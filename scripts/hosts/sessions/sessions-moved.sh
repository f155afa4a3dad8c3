# shellcheck shell=bash
# While the session store changes: brings all sessions to the new one that are still in the other. Runs on one node.
#
# Input: TO ("files" or "log"), MOUNT_POINT, SOCKET (of the node's session service), MOVE_PHP. Where this node knows both stores, so do
# all others, and bring sessions to TO (change-store.sh).
# Postcondition: no session is in the other store. One that cannot be moved is named, and this fails; PHP goes on with both. A second
# run changes nothing.

# shellcheck disable=SC2154  # lib.sh has it
as_php() { PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 PHP_INI_SCAN_DIR=${ini%/*} nice runuser --user www-data -- "$@"; }

# move WORD…: by PHP's user, with the settings of the PHP that serves, but for what a site may have forbidden.
move() {
    as_php php -c "${ini%/conf.d/*}" -d auto_prepend_file= -d auto_append_file= -d disable_functions= -d open_basedir= \
        -d max_execution_time=0 -d memory_limit=512M -d display_errors=stderr -d log_errors=0 /usr/lib/php-cluster/move_sessions.php "$@" 2>&1
}

# move_from_log: what the log tells is a little older than what it has, so it is asked until there is nothing left.
move_from_log() {
    local live=$1
    while as_php python3 -m session_service.live "$SOCKET" "$MOUNT_POINT" >"$live" && [[ -s $live ]]; do
        move given <"$live" || return
    done
    [[ ! -s $live ]]
}

if has_line php_cluster.moves_to; then
    changing "moves sessions to the store $TO"
    has_line "php_cluster.moves_to = \"$TO\"" || fail "sessions are brought to the other store here: pulumi up"
    is_mounted || fail "the sessions are not mounted, and so cannot be moved"
    put_file /usr/lib/php-cluster/move_sessions.php 0644 "$MOVE_PHP"
    if [[ $TO == log ]]; then
        said=$(move) || fail "not all sessions can be moved to the log: $said"
    else
        # IDs, which are secrets.
        live=$(mktemp)
        said=$(move_from_log "$live") || fail "not all sessions can be moved to files: $said"
        rm "$live"
    fi
    report "${said:-there was nothing to move}"
else
    report "sessions are in one store"
fi
# What an earlier change has taken back is there again.
if [[ $TO == log ]]; then forget_steps '*-session-service-left' '*-session-log-left'; else forget_steps '*-session-files-left'; fi
