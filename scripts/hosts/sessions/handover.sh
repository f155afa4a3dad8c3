# shellcheck shell=bash
# Before the profile changes: makes a PHP node that serves with the other profile read the sessions of both.
#
# Input: GUARDED ("yes": profile safe is what the cluster gets), LINES (of PHP's ini file; the extension that they name is there,
# php-extension.sh), HEALTH_PHP, SERVE_PHP, DRAIN_SECONDS.
# Postcondition: no request runs on this node that reads, or writes, the sessions of the other profile alone; php.sh makes
# the node what it is to be when this is so on all of them. A node that has no PHP yet, or is what it is to be, is left
# alone. A second run changes nothing.

# reads_both: whether PHP's ini file makes it do so already.
reads_both() { has_line php_cluster.write_plain; }
is_guarded() { has_line php_cluster.folder; }
is_wanted() { if [[ $GUARDED == yes ]]; then is_guarded; else ! is_guarded; fi; }
# differs: it serves with the other profile, or an interrupted run has not started the PHP that does not.
differs() { if reads_both; then ! unchanged; else ! is_wanted; fi; }

if [[ -z $ini ]]; then
    report "PHP serves nothing yet"
elif differs; then
    changing "makes PHP read the sessions of both profiles"
    # All other settings stay as they serve now.
    serve_anew "$(cat "$ini" - < <(grep --invert-match --line-regexp --fixed-strings --file "$ini" <<<"$LINES"))"$'\n'
fi
if [[ -n $ini ]]; then
    await_end_of_old_php
    if reads_both; then report "PHP reads the sessions of both profiles"; else report "PHP has the profile already"; fi
fi
