# shellcheck shell=bash
# Makes nginx and PHP serve the site, with sessions on the mount.
#
# Input: NGINX_SITE, FPM_POOL, PHP_INI, HEALTH_PHP, SESSION_RECORD_PHP (empty: PHP's own files handler), COLLECT_PHP (empty:
# no collector on this node), MOUNT_UNIT (empty: PHP runs without the mount too, as in the article).
# Postcondition: both run with this configuration; a wrong one is refused before it replaces anything that serves.
# A second run changes nothing. A change reloads: requests under way are answered.

shopt -s nullglob
versions=(/etc/php/*/fpm)
((${#versions[@]} > 0)) || fail "php-fpm is not installed"
etc=${versions[-1]}
version=$(basename "$(dirname "$etc")")
fpm=php$version-fpm

put_file /usr/lib/php-cluster/health.php 0644 "$HEALTH_PHP" || true
if [[ -n $SESSION_RECORD_PHP ]]; then
    put_file /usr/lib/php-cluster/session_record.php 0644 "$SESSION_RECORD_PHP" || true
fi
for default in "$etc/pool.d/www.conf" /etc/nginx/sites-enabled/default; do
    if [[ -e $default || -L $default ]]; then
        changing "removes $default"
        rm "$default"
    fi
done

ini=$etc/conf.d/90-php-cluster.ini pool=$etc/pool.d/php-cluster.conf site=/etc/nginx/conf.d/php-cluster.conf
if ! holds "$ini" "$PHP_INI" || ! holds "$pool" "$FPM_POOL" || ! holds "$site" "$NGINX_SITE"; then
    # Tried in a folder of its own, so that a wrong setting never reaches what serves.
    candidate=$(mktemp --directory)
    cp --recursive "$etc/conf.d" "$candidate/conf.d"
    printf '%s' "$PHP_INI" >"$candidate/conf.d/90-php-cluster.ini"
    printf '[global]\nerror_log = syslog\n%s' "$FPM_POOL" >"$candidate/fpm.conf"
    said=$(PHP_INI_SCAN_DIR=$candidate/conf.d "php-fpm$version" --test --fpm-config "$candidate/fpm.conf" 2>&1) \
        || fail "php-fpm refuses its configuration: $said"
    printf 'events {}\nhttp {\n%s}\n' "$NGINX_SITE" >"$candidate/nginx.conf"
    said=$(nginx -t -q -c "$candidate/nginx.conf" 2>&1) || fail "nginx refuses its configuration: $said"
    rm -r "$candidate"
fi

put_file "$ini" 0644 "$PHP_INI" || true
put_file "$pool" 0644 "$FPM_POOL" || true
if [[ -n $MOUNT_UNIT ]]; then
    put_file "/etc/systemd/system/$fpm.service.d/php-cluster.conf" 0644 "[Unit]
BindsTo=$MOUNT_UNIT
After=$MOUNT_UNIT
StartLimitIntervalSec=0
[Service]
Restart=on-failure
RestartSec=1
" || true
fi
enabled_and_running "$fpm" reload
put_file "$site" 0644 "$NGINX_SITE" || true
enabled_and_running nginx reload

if [[ -n $COLLECT_PHP ]]; then
    put_file /usr/lib/php-cluster/collect_sessions.php 0644 "$COLLECT_PHP" || true
    put_file /etc/systemd/system/php-cluster-collect.service 0644 "[Unit]
Description=Remove expired sessions
[Service]
Type=oneshot
User=www-data
ExecStart=/usr/bin/php -c $etc -d auto_prepend_file= /usr/lib/php-cluster/collect_sessions.php
" || true
    put_file /etc/systemd/system/php-cluster-collect.timer 0644 "[Unit]
Description=Remove expired sessions every half hour
[Timer]
OnBootSec=10min
OnUnitActiveSec=30min
[Install]
WantedBy=timers.target
" || true
    reread_if_changed php-cluster-collect.service
    enabled_and_running php-cluster-collect.timer
    # Debian's own collector knows neither the record format nor the locks of other nodes.
fi
if [[ -n $SESSION_RECORD_PHP && $(systemctl is-enabled phpsessionclean.timer 2>/dev/null) == enabled ]]; then
    changing "disables phpsessionclean.timer"
    systemctl disable --quiet --now phpsessionclean.timer
fi

answers() { curl --silent --fail --max-time 5 --header 'Host: php-cluster' http://127.0.0.1/.php-cluster/health; }
wait_until 60 "PHP answers" answers
report "nginx and PHP $version serve"
