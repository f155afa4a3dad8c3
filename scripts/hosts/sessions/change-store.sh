# shellcheck shell=bash
# While the session store changes: makes PHP of a node know both stores, and bring each session that is asked for to one of them.
#
# Input: TO ("files" or "log": what the cluster gets), MOVES_TO (where sessions are brought: to the store of before, until all nodes know
# both; then to TO), LINES (of PHP's ini file; the extension that they name is there, php-extension.sh), SOCKET (of the node's session
# service, which runs), HEALTH_PHP, SERVE_PHP, DRAIN_SECONDS.
# Postcondition: no request runs on this node that knows the store of before alone or, where MOVES_TO is TO, brings sessions there. A
# node that has no PHP yet, or is further on the way, is left alone. A second run changes nothing.

# way: where this node is on its way: "files" and "log", each alone; "both files" and "both log", where sessions are brought.
way() {
    local moves_to
    moves_to=$(sed --quiet 's/^php_cluster.moves_to = "\(.*\)"$/\1/p' "$ini")
    if [[ -n $moves_to ]]; then
        echo "both $moves_to"
    elif has_line php_cluster.service; then
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

if [[ -z $ini ]]; then
    report "PHP serves nothing yet"
else
    if differs; then
        changing "makes PHP bring sessions to the store $MOVES_TO, whichever they are in"
        wait_until 60 "this node's session service reaches a writer" finds_a_writer
        # All other settings stay as they serve now.
        kept=$(grep --invert-match --extended-regexp '^(php_cluster\.|extension = /usr/lib/php-cluster/)' "$ini")
        serve_anew "$kept"$'\n'"$(grep --invert-match --line-regexp --fixed-strings --file <(printf '%s' "$kept") <<<"$LINES")"$'\n'
    fi
    await_end_of_old_php
    report "sessions: $(way)"
fi
