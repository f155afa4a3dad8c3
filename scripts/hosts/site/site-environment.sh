# shellcheck shell=bash
# Writes the environment of the site, secrets included, and has those read it again that run with it.
#
# Input: ENVIRONMENT (lines NAME="value", escaped as for a shell), NAMES (a variable a line), DRAIN_SECONDS.
# Postcondition: /etc/php-cluster/environment, for root alone, has the variables; pages and workers see them. systemd gives
# them to PHP and to the site's commands. A second run changes nothing. Requests under way are answered, those of PHP within
# DRAIN_SECONDS.

fpm_conf=/etc/php-cluster/fpm.conf
# With other names PHP's configuration is another one, and the step that brings it starts PHP anew.
passes_these() { [[ -f $fpm_conf && $(sed --quiet 's/^env\[\(.*\)\] = .*/\1/p' "$fpm_conf") == "$NAMES" ]]; }

put_file /etc/php-cluster/environment 0600 "$ENVIRONMENT"
if ! unchanged; then
    if passes_these && /usr/lib/php-cluster/serve-php is-current; then
        said=$(DRAIN_SECONDS=$DRAIN_SECONDS /usr/lib/php-cluster/serve-php anew 2>&1) || fail "PHP does not start: $said"
    fi
    [[ ! -e /usr/lib/php-cluster/site-release ]] || /usr/lib/php-cluster/site-release restart-workers
fi
report "the site has $(wc --words <<<"$NAMES") variables"
