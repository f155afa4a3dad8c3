# shellcheck shell=bash
# What the scripts of this folder share, read before each of them after steps/lib.sh.

# The ini file of the PHP that serves; empty on a node that has none yet.
ini=$(compgen -G '/etc/php/*/fpm/conf.d/90-php-cluster.ini' | tail --lines 1) || ini=

# has_line TEXT: whether a line of it begins so.
has_line() { [[ -n $ini ]] && grep --quiet "^$1" "$ini"; }

# is_mounted: whether the volume of sessions is, at MOUNT_POINT.
is_mounted() { grep --quiet " $MOUNT_POINT fuse.glusterfs " /proc/self/mounts; }

# finds_a_writer: whether the node's session service, at SOCKET, reaches one, and what it says.
finds_a_writer() {
    local told
    told=$(PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 python3 -m session_service.ask "$SOCKET") || return
    echo "$told"
    [[ $told == *'"linked": true'* ]]
}

# put_sources FOLDER: a file for each variable SOURCE_…, SOURCE_CATCH_UP_C is catch_up.c, and no other: all of a folder are compiled.
put_sources() {
    local variable file kept=()
    for variable in "${!SOURCE_@}"; do
        file=${variable#SOURCE_}
        file=${file,,}
        kept+=("${file%_*}.${file##*_}")
        put_file "$1/${kept[-1]}" 0644 "${!variable}"
    done
    remove_others "$1" "${kept[@]}"
}

# remove_others FOLDER FILE…: what an older release had there beside these.
remove_others() {
    local path
    for path in "$1"/*.*; do
        if [[ " ${*:2} " != *" ${path##*/} "* ]]; then
            changing "removes $path"
            rm "$path"
        fi
    done
}

# serve_anew TEXT: PHP starts anew beside the one that serves, with this ini file. Input: HEALTH_PHP, SERVE_PHP, DRAIN_SECONDS.
serve_anew() {
    local said
    put_file /usr/lib/php-cluster/health.php 0644 "$HEALTH_PHP"
    put_file /usr/lib/php-cluster/serve-php 0755 "$SERVE_PHP"
    put_file "$ini" 0644 "$1"
    said=$(DRAIN_SECONDS=$DRAIN_SECONDS /usr/lib/php-cluster/serve-php anew 2>&1) || fail "PHP does not start: $said"
}

# await_end_of_old_php: what had been begun before serve_anew may still read and write as it did.
await_end_of_old_php() {
    checking || wait_until "$((2 * DRAIN_SECONDS + 30))" "the PHP before has ended" /usr/lib/php-cluster/serve-php is-alone
}
