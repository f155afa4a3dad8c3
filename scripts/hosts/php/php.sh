# shellcheck shell=bash
# Makes nginx and PHP serve the site, with sessions on the mount.
#
# Input: GUARDED ("yes": profile safe), NGINX_SITE, FPM_CONF, PHP_INI (the extension that it names is there: php-extension.sh),
# HEALTH_PHP, SERVE_PHP, FPM_SERVICE (unit file), DRAIN_SECONDS; on one node, which removes expired sessions for all, COLLECT_PHP,
# COLLECT_SERVICE and COLLECT_TIMER (unit files).
# Postcondition: both run with this configuration; a wrong one is refused before it replaces anything that serves.
# A second run changes nothing. Requests under way are answered, those of PHP within DRAIN_SECONDS.

shopt -s nullglob
versions=(/etc/php/*/fpm)
((${#versions[@]} > 0)) || fail "php-fpm is not installed"
etc=${versions[-1]}
version=$(basename "$(dirname "$etc")")

ini=$etc/conf.d/90-php-cluster.ini conf=/etc/php-cluster/fpm.conf site=/etc/nginx/conf.d/php-cluster.conf
if ! holds "$ini" "$PHP_INI" || ! holds "$conf" "$FPM_CONF" || ! holds "$site" "$NGINX_SITE"; then
    # Tried in a folder of its own, so that a wrong setting never reaches what serves.
    candidate=$(mktemp --directory)
    cp --recursive "$etc/conf.d" "$candidate/conf.d"
    printf '%s' "$PHP_INI" >"$candidate/conf.d/90-php-cluster.ini"
    printf '%s' "$FPM_CONF" >"$candidate/fpm.conf"
    said=$(FPM=x PHP_INI_SCAN_DIR=$candidate/conf.d "php-fpm$version" --test --fpm-config "$candidate/fpm.conf" 2>&1) \
        || fail "php-fpm refuses its configuration: $said"
    printf 'events {}\nhttp {\n%s}\n' "$NGINX_SITE" >"$candidate/nginx.conf"
    said=$(nginx -t -q -c "$candidate/nginx.conf" 2>&1) || fail "nginx refuses its configuration: $said"
    rm -r "$candidate"
fi

# Debian's own PHP service would run a second PHP. Its reload ends what is under way, or makes new requests wait for that.
if is_enabled "php$version-fpm"; then
    changing "disables php$version-fpm"
    systemctl disable --quiet --now "php$version-fpm"
fi
if [[ $GUARDED == no && -f $ini ]] && grep --quiet '^php_cluster.folder' "$ini"; then
    changing "gives the sessions to PHP's own handler"
    # By now none of them is a record (plain-sessions.sh), and no node writes one (handover.sh).
    grep --quiet '^php_cluster.write_plain' "$ini" \
        || fail "sessions are records here, and other nodes may still write some: set php-cluster:profile to safe, pulumi up, and change it then"
fi
put_file /usr/lib/php-cluster/health.php 0644 "$HEALTH_PHP"
put_file "$ini" 0644 "$PHP_INI"
put_file "$conf" 0644 "$FPM_CONF"
put_file /usr/lib/php-cluster/serve-php 0755 "$SERVE_PHP"
put_unit php-cluster-fpm@.service "$FPM_SERVICE" version conf DRAIN_SECONDS
/usr/lib/php-cluster/serve-php is-current || changing "starts PHP"
if ! unchanged; then
    # The other instance starts with what is new, and takes over.
    reread_if_changed php-cluster-fpm@a php-cluster-fpm@b
    said=$(DRAIN_SECONDS=$DRAIN_SECONDS /usr/lib/php-cluster/serve-php anew 2>&1) || fail "PHP does not start: $said"
fi
# After a boot there is nothing old, and the first one serves.
enabled php-cluster-fpm@a
if [[ -e /etc/nginx/sites-enabled/default || -L /etc/nginx/sites-enabled/default ]]; then
    changing "removes nginx's default site"
    rm /etc/nginx/sites-enabled/default
fi
if [[ -e /srv/site/current && ! -e /srv/site/web ]]; then
    changing "names the web root of the site that serves"
    # Until site-switch.sh says otherwise it is the release itself: nobody has moved it before there was a name for it.
    ln --symbolic --no-dereference "$(readlink /srv/site/current)" /srv/site/web
fi
put_file "$site" 0644 "$NGINX_SITE"
enabled_and_running nginx reload

if [[ -n ${COLLECT_PHP-} ]]; then
    put_file /usr/lib/php-cluster/collect_sessions.php 0644 "$COLLECT_PHP"
    put_unit php-cluster-collect.service "$COLLECT_SERVICE" etc
    put_unit php-cluster-collect.timer "$COLLECT_TIMER"
    reread_if_changed php-cluster-collect.service
    enabled_and_running php-cluster-collect.timer
fi
if [[ $GUARDED == no && -e /etc/systemd/system/php-cluster-collect.timer ]]; then
    changing "leaves expired sessions to Debian's collector"
    systemctl disable --quiet --now php-cluster-collect.timer
    rm /etc/systemd/system/php-cluster-collect.{service,timer}
    systemctl daemon-reload
fi
if [[ $GUARDED == no && -e /var/lib/php-cluster/disabled-phpsessionclean ]]; then
    changing "enables phpsessionclean.timer"
    systemctl enable --quiet --now phpsessionclean.timer
    rm /var/lib/php-cluster/disabled-phpsessionclean
fi
if [[ $GUARDED == yes ]] && is_enabled phpsessionclean.timer; then
    changing "disables phpsessionclean.timer"
    # It knows neither the record format nor the locks of other nodes. Whoever unconfigures the machine puts it back.
    : >/var/lib/php-cluster/disabled-phpsessionclean
    systemctl disable --quiet --now phpsessionclean.timer
fi

# Any word of PHP: whether the node can serve is asked when it has its site (site-switch.sh).
answers() {
    local said
    said=$(curl --silent --show-error --max-time 5 http://127.0.0.1:8406/health)
    [[ $said == @(ok|there is no site|"the sessions' mount"|"the sessions' log"|"the shared files' mount")* ]] || {
        echo "$said"
        return 1
    }
}
wait_until 60 "PHP answers" answers
report "nginx and PHP $version serve"
