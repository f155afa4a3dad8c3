# shellcheck shell=bash
# What a PHP node does for a backup, and for a restore; scripts/backup and scripts/restore run it there. Nothing stays on the node.
#
#   export sessions [HASH]   the sessions as a tar archive, or those of which the SHA-256 of the ID begins so; what they count as JSON to
#                       standard error (scripts/hosts/sessions/export_sessions.php; of a log session_service/archive.py there)
#   export files        what the site shares, as files/shared/…, and its size to standard error; nothing where nothing is shared
#   export site         the release that serves, as site/…
#   import check        what `import sessions` would do, as JSON
#   import sessions     stores those of standard input, a whole backup (import_sessions.php, archive.py)
#   import files        puts the files of standard input, a whole backup, into their places
#   ready               whether this node has what is to be saved, or the place for it; "follows": of a log another one knows more
#
# Input: EXPORT_PHP, IMPORT_PHP (programs), SERVICE, LOG_UNIT (socket and unit of the session service), LAST (of a backup's files), KEEP_NEWER ("yes": a file that is newer here stays; else it is an
# error, and nothing was changed).

set -euo pipefail
SESSIONS=/media/sessions FILES=/media/files
arriving=$FILES/.restoring

fail() {
    echo "$(hostname): $1" >&2
    exit 1
}

is_mounted() { [[ $(</proc/self/mounts) == *" $1 fuse.glusterfs "* ]]; }

# run_php PROGRAM WORD…: by PHP's user, with the settings of the PHP that serves, but for what a site may have forbidden.
run_php() {
    local etc program=$1
    etc=$(compgen -G '/etc/php/*/fpm/conf.d/90-php-cluster.ini' | tail --lines=1) || fail "there is no PHP yet: pulumi up"
    etc=${etc%/conf.d/*}
    shift
    PHP_INI_SCAN_DIR=$etc/conf.d nice runuser --user www-data -- php -c "$etc" -d auto_prepend_file= -d auto_append_file= \
        -d disable_functions= -d open_basedir= -d max_execution_time=0 -d memory_limit=512M -d display_errors=stderr -d log_errors=0 \
        -r "${program#<?php}" -- "$@"
}

# php_has LINE: whether PHP's ini file has a line that begins so.
php_has() { grep --quiet --no-messages "^php_cluster.$1" /etc/php/*/fpm/conf.d/90-php-cluster.ini; }

# has_log: what the node has tells it. While its bricks heal, the volume may deny what is in it. While the store changes, sessions are in
# either of both.
has_log() {
    [[ -e $LOG_UNIT ]] || return
    ! php_has moves_to || fail "sessions are on their way from one store to the other: pulumi up, and then again"
    ! php_has folder || php_has service || return
    [[ -d $SESSIONS/log ]] || fail "the log of sessions cannot be read now"
}

# run_log MODULE WORD…: a program of the session service, by the user who has the log.
run_log() {
    local module=$1
    shift
    PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 nice runuser --user www-data -- python3 -m "session_service.$module" "$@"
}

# log_archive WHAT [HASH]
log_archive() {
    local lifetime
    lifetime=$(run_php 'echo (int) ini_get("session.gc_maxlifetime");')
    run_log archive "$1" "$SERVICE" "$SESSIONS" "$lifetime" "${2-}"
}

ready() {
    local knows
    is_mounted "$SESSIONS" || fail "the sessions are not mounted"
    has_log || return 0
    knows=$(run_log ask "$SERVICE" --words) || fail "its session service does not answer"
    case $knows in
        "yes "*) ;;
        "no yes "*) echo follows ;;
        *) fail "its session service reaches no writer" ;;
    esac
}

# read_files WORD…: tar, for which a file that changes or goes while it is read is no failure.
read_files() {
    local status=0
    nice tar --create --format=posix --sort=name --warning=no-file-changed --warning=no-file-removed --warning=no-file-ignored "$@" || status=$?
    ((status <= 1)) || fail "tar: exit status $status"
}

# newer: the files that are newer here than what arrives.
newer() {
    (
        cd "$arriving/files/shared"
        find . -type f -print0 | while IFS= read -r -d '' path; do
            [[ ! $FILES/shared/$path -nt $path ]] || printf '%s\n' "${path#./}"
        done
    )
}

import_files() {
    local found some keep=()
    is_mounted "$FILES" || fail "the site of this cluster shares no files: set sharedDirs or sharedFiles as in the backup, and pulumi up"
    # What an interrupted run has left.
    rm -rf "$arriving"
    mkdir --mode=700 "$arriving"
    nice tar --extract --ignore-zeros --delay-directory-restore --same-owner --preserve-permissions --directory="$arriving" --wildcards \
        'files/*' "$LAST" || fail "the backup cannot be read, or there is no room for its files"
    [[ -e $arriving/$LAST ]] || fail "the backup ends too early"
    mapfile -t found < <(newer)
    if [[ $KEEP_NEWER == yes ]]; then
        keep=(--update)
    elif ((${#found[@]} > 0)); then
        rm -rf "$arriving"
        printf -v some ', %s' "${found[@]:0:5}"
        fail "${#found[@]} files are newer here than in the backup: ${some#, }; --keep-newer leaves these as they are"
    fi
    # Each gets its place at once, whole.
    cp --archive --link --remove-destination "${keep[@]}" "$arriving/files/shared/." "$FILES/shared/"
    rm -rf "$arriving"
}

case "$1 ${2-}" in
    "ready ") ready ;;
    "export sessions") if has_log; then log_archive export "${3-}"; else run_php "$EXPORT_PHP" "${3-}"; fi ;;
    "export site") read_files --directory="$(realpath /srv/site/current)" --transform='s,^\.,site,S' . ;;
    "export files") ! is_mounted "$FILES" || LC_ALL=C read_files --totals --directory=/media files/shared ;;
    "import check") if has_log; then log_archive check; else run_php "$IMPORT_PHP" check; fi ;;
    "import sessions") if has_log; then log_archive store; else run_php "$IMPORT_PHP" store; fi ;;
    "import files") import_files ;;
    *) fail "backup_host.sh: $*" ;;
esac
