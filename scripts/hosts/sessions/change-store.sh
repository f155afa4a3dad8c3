# shellcheck shell=bash
# While the session store changes: makes PHP of a node know both stores, and bring each session that is asked for to one of them.
#
# Input: TO ("files" or "log": what the cluster gets), MOVES_TO (where sessions are brought: to the store of before, until all nodes know
# both; then to TO), LINES (of PHP's ini file; the extension that they name is there, php-extension.sh), SOCKET (of the node's session
# service, which runs), HEALTH_PHP, SERVE_PHP, DRAIN_SECONDS.
# Postcondition: no request runs on this node that knows the store of before alone or, where MOVES_TO is TO, brings sessions there. A
# node that has no PHP yet, or is further on the way, is left alone. A second run changes nothing.

ini=$(compgen -G '/etc/php/*/fpm/conf.d/90-php-cluster.ini' | tail --lines 1) || ini=

# way: where this node is on its way: "files" and "log", each alone; "both files" and "both log", where sessions are brought.
way() {
    local moves_to
    moves_to=$(sed --quiet 's/^php_cluster.moves_to = "\(.*\)"$/\1/p' "$ini")
    if [[ -n $moves_to ]]; then
        echo "both $moves_to"
    elif grep --quiet '^php_cluster.service' "$ini"; then
        echo log
    else
        echo files
    fi
}
# comes_from: where a node is that this step concerns.
comes_from() {
    if [[ $MOVES_TO != "$TO" ]]; then
        echo "$MOVES_TO"
    elif [[ $TO == log ]]; then
        echo "both files"
    else
        echo "both log"
    fi
}
# differs: it is there, or an interrupted run has not started the PHP that is not.
differs() { [[ $(way) == "$(comes_from)" ]] || { [[ $(way) == "both $MOVES_TO" ]] && ! unchanged; }; }

reaches_a_writer() {
    local told
    told=$(PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 python3 -m session_service.ask "$SOCKET") || return
    echo "$told"
    [[ $told == *'"linked": true'* ]]
}

if [[ -z $ini ]]; then
    report "PHP serves nothing yet"
else
    if differs; then
        changing "makes PHP bring sessions to the store $MOVES_TO, whichever they are in"
        wait_until 60 "this node's session service reaches a writer" reaches_a_writer
        put_file /usr/lib/php-cluster/health.php 0644 "$HEALTH_PHP"
        put_file /usr/lib/php-cluster/serve-php 0755 "$SERVE_PHP"
        # All other settings stay as they serve now.
        kept=$(grep --invert-match --extended-regexp '^(php_cluster\.|extension = /usr/lib/php-cluster/)' "$ini")
        put_file "$ini" 0644 "$kept"$'\n'"$(grep --invert-match --line-regexp --fixed-strings --file <(printf '%s' "$kept") <<<"$LINES")"$'\n'
        said=$(DRAIN_SECONDS=$DRAIN_SECONDS /usr/lib/php-cluster/serve-php anew 2>&1) || fail "PHP does not start: $said"
    fi
    # What had been begun before may still write.
    checking || wait_until "$((2 * DRAIN_SECONDS + 30))" "the PHP before has ended" /usr/lib/php-cluster/serve-php is-alone
    report "sessions: $(way)"
fi
