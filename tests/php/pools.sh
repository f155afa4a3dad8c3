#!/usr/bin/env bash
# Runs two more PHPs on a node: one as Debian ships it, one with the product's own unit and files. Each gives every request a
# worker of its own, since FPM keeps the PHP_VALUE of a request for the next one.
#
#   pools.sh up     starts both; prints which package of Debian's they are of
#   pools.sh down   ends them, and leaves nothing but the sessions that tests have stored
#
# They listen on /run/phpt/stock.sock and /run/phpt/product.sock; tests lie below /var/tmp/phpt. A second run starts both anew.

set -euo pipefail
RUN=/run/phpt
# What the product calls the instance; its own are a and b.
INSTANCE=phpt
UNIT=php-cluster-fpm@$INSTANCE
DROP_IN=/run/systemd/system/$UNIT.service.d

# one_request_each: takes a pool's configuration, and makes it one whose workers end after each request.
one_request_each() { sed -E '/^pm\./d; s/^pm *=.*/pm = static\npm.max_children = 2\npm.max_requests = 1/'; }

# lines NAME: those of that setting in the product's unit.
lines() { systemctl cat php-cluster-fpm@a | grep "^$1=" || true; }

up() {
    local etc version
    etc=$(printf '%s\n' /etc/php/*/fpm | tail --lines 1)
    version=$(basename "$(dirname "$etc")")
    down
    mkdir -p "$RUN/conf.d" "$DROP_IN" /var/tmp/phpt

    # What is a link there came with a package; the product's own are files.
    find "$etc/conf.d" -type l ! -name '*php-cluster*' -exec cp --no-dereference {} "$RUN/conf.d" \;
    {
        printf '[global]\nerror_log = syslog\nsyslog.ident = phpt-stock\nlog_level = warning\n'
        one_request_each <"$etc/pool.d/www.conf" | sed -E "s|^listen *=.*|listen = $RUN/stock.sock|"
    } >"$RUN/stock.conf"
    systemd-run --quiet --collect --unit=phpt-stock --service-type=notify --setenv=PHP_INI_SCAN_DIR="$RUN/conf.d" \
        "/usr/sbin/php-fpm$version" --nodaemonize --fpm-config "$RUN/stock.conf"

    # The session's cookie has rules of the product's own (components/plan/php_settings.py); PHP's tests expect PHP's.
    mkdir "$RUN/cookie.d"
    printf 'session.cookie_httponly = 0\nsession.cookie_samesite = ""\n' >"$RUN/cookie.d/cookie.ini"
    one_request_each </etc/php-cluster/fpm.conf >"$RUN/product.conf"
    # All but what makes nginx ask the new instance.
    {
        printf '[Service]\nExecStartPost=\nExecStart=\n'
        echo "Environment=PHP_INI_SCAN_DIR=:$RUN/cookie.d"
        lines ExecStart | sed "s|/etc/php-cluster/fpm.conf|$RUN/product.conf|"
        lines ExecStartPost | sed '/serve-php point/d'
    } >"$DROP_IN/tests.conf"
    systemctl daemon-reload
    systemctl start "$UNIT"
    ln --symbolic --force "/run/php-cluster/site-$INSTANCE.sock" "$RUN/product.sock"
    # shellcheck disable=SC2016  # dpkg's own variables
    dpkg-query --show --showformat '${source:Package} ${source:Version}\n' "php$version-fpm"
}

down() {
    systemctl stop phpt-stock "$UNIT" 2>/dev/null || true
    systemctl reset-failed phpt-stock "$UNIT" 2>/dev/null || true
    rm -rf "$RUN" "$DROP_IN" /var/tmp/phpt /run/php-cluster/*-"$INSTANCE".sock
    systemctl daemon-reload
}

"${1:?up or down}"
