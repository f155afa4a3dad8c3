# shellcheck shell=bash
# Before PHP's own handler serves again: turns the records of profile safe into plain sessions.
#
# Input: GUARDED ("yes": profile safe, whose sessions are records), PLAIN_PHP, MOUNT_POINT.
# Postcondition, unless guarded: no session is a record, and no node writes one, as this runs when handover.sh has been on all
# of them. One that cannot be read is named, and this fails; PHP goes on reading both. A second run changes nothing.

if [[ $GUARDED == yes ]]; then
    report "sessions may be records"
elif has_line php_cluster.folder; then
    changing "turns records into plain sessions"
    has_line php_cluster.write_plain \
        || fail "sessions are records here, and other nodes may still write some: set php-cluster:profile to safe, pulumi up, and change it then"
    is_mounted || fail "the sessions are not mounted, and so cannot be turned"
    put_file /usr/lib/php-cluster/plain_sessions.php 0644 "$PLAIN_PHP"
    # shellcheck disable=SC2154  # lib.sh has it
    etc=${ini%/conf.d/*}
    said=$(PHP_INI_SCAN_DIR=$etc/conf.d runuser --user www-data -- php -c "$etc" -d auto_prepend_file= -d auto_append_file= /usr/lib/php-cluster/plain_sessions.php 2>&1) \
        || fail "sessions cannot be read, and the profile stays half changed: $said"
    report "$said"
else
    report "sessions are plain"
fi
