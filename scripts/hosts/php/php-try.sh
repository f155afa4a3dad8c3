# shellcheck shell=bash
# Tries PHP settings of the site before any node takes them: asks one page of the release that serves, of a PHP beside it.
#
# Input: SETTINGS (lines of PHP's ini file), TRIAL_SITE (nginx's server for the trial), HEALTH_PATH (of a page), HOST and
# SCHEME (that the request carries).
# Postcondition: the page answered with a status from 200 to 399 and without an error that ends a page; or these settings
# serve already; or nothing serves yet; or the page answers no better with the settings of now, which says nothing of the
# new ones. What serves is left alone. A second run changes nothing.

BEGIN="; The site's own settings (phpSettings) begin here." END="; The site's own settings end here."
php_unit=php-cluster-fpm-trial nginx_unit=php-cluster-nginx-trial
ini=$(compgen -G '/etc/php/*/fpm/conf.d/90-php-cluster.ini' | tail --lines 1) || ini=

# serving_settings: the settings that serve now.
serving_settings() { sed --quiet "/^$BEGIN\$/,/^$END\$/ { //! p }" "$ini"; }

# end_trial: what a run that was killed left, too.
end_trial() {
    systemctl stop "$nginx_unit" "$php_unit" 2>/dev/null || true
    systemctl reset-failed "$nginx_unit" "$php_unit" 2>/dev/null || true
}

# run_beside UNIT TYPE PROPERTY… -- COMMAND…: starts a service that ends by itself if nobody does it.
run_beside() {
    local unit=$1 type=$2 options=()
    shift 2
    while [[ $1 != -- ]]; do
        options+=(--property="$1")
        shift
    done
    shift
    systemd-run --quiet --collect --unit "$unit" --service-type="$type" --property=RuntimeMaxSec=300 "${options[@]}" "$@" 2>&1 || {
        journalctl --unit "$unit" --since "$began" --output cat --quiet --lines 3
        return 1
    }
}

# lay_out: makes the files of the trial: what serves, with the new settings.
lay_out() {
    cp --recursive "$etc/conf.d" "$trial/conf.d"
    # What else the file has may be of another version of this program; only the site's own part is tried.
    { sed "/^$BEGIN\$/,/^$END\$/ d" "$ini" && printf '%s' "$SETTINGS"; } >"$trial/conf.d/90-php-cluster.ini"
    : >"$trial/php.log"
    chown www-data "$trial/php.log"
    sed "s|^\[site\]\$|&\nphp_admin_flag[log_errors] = on\nphp_admin_value[error_log] = $trial/php.log|; s|^pm.max_children = .*|pm.max_children = 1|" \
        /etc/php-cluster/fpm.conf >"$trial/fpm.conf"
    printf 'user www-data;\npid %s/nginx.pid;\nerror_log %s/nginx.log;\nevents {}\nhttp {\n%s}\n' "$trial" "$trial" "$TRIAL_SITE" \
        >"$trial/nginx.conf"
}

start_trial() {
    local said version
    version=$(basename "$(dirname "$etc")")
    # PHP is let finish what it has begun: a signal that meets a worker in the mount can stop the whole mount.
    said=$(run_beside "$php_unit" notify Environment=FPM=trial "Environment=PHP_INI_SCAN_DIR=$trial/conf.d" \
        EnvironmentFile=-/etc/php-cluster/environment KillSignal=SIGQUIT \
        KillMode=mixed TimeoutStopSec=30 -- "/usr/sbin/php-fpm$version" --nodaemonize --fpm-config "$trial/fpm.conf") \
        || fail "PHP does not start with these phpSettings: $said"
    said=$(run_beside "$nginx_unit" forking "PIDFile=$trial/nginx.pid" -- /usr/sbin/nginx -c "$trial/nginx.conf") \
        || fail "nginx does not start beside the one that serves: $said"
}

# complaints FOLDER: what PHP says of the ini files there before it runs anything, such as an extension that is not there.
complaints() {
    PHP_INI_SCAN_DIR=$1 php -c "$etc" -d error_log= -d log_errors=1 -d display_errors=0 -d auto_prepend_file= -d auto_append_file= \
        -r '' 2>&1 | sort --unique
}

# page PORT: asks the page there, and sets status and said.
page() {
    local body=$trial/page
    : >"$body"
    status=$(curl --silent --max-time 60 --output "$body" --write-out '%{http_code}' --header "X-Forwarded-Proto: $SCHEME" \
        --header "Host: $HOST" "http://127.0.0.1:$1$HEALTH_PATH") || true
    said=$(head --bytes 200 "$body" | tr --complement '[:print:]' ' ')
}

# fatal: the errors that ended a page; such an end may come when all of the page was sent.
fatal() { grep --extended-regexp --max-count 3 'PHP (Fatal|Parse|Core|Compile) error' "$trial/php.log"; }

if [[ -z $ini || ! -d /srv/site/web ]] || ! /usr/lib/php-cluster/serve-php is-current; then
    report "PHP serves nothing here yet"
elif grep --quiet --line-regexp --fixed-strings "$BEGIN" "$ini" && [[ $(serving_settings) == "${SETTINGS%$'\n'}" ]]; then
    report "these PHP settings serve"
else
    changing "tries PHP's settings"
    began=$(date '+%Y-%m-%d %H:%M:%S')
    trial=$(mktemp --directory)
    chmod 755 "$trial"
    etc=$(dirname "$(dirname "$ini")")
    # A trial that fails leaves nothing half done.
    trap 'end_trial; rm -rf "$trial" "$UNFINISHED"' EXIT
    end_trial
    lay_out
    said=$(comm -13 <(complaints "$etc/conf.d") <(complaints "$trial/conf.d"))
    [[ -z $said ]] || fail "PHP does not take these phpSettings; the old ones stay: $said"
    start_trial
    page 8082
    if [[ ! $status =~ ^[23] ]] || fatal >/dev/null; then
        answer="$status: $(fatal || true) $said"
        page 80
        [[ ! $status =~ ^[23] ]] || fail "with these phpSettings $HEALTH_PATH answers $answer; the old ones stay"
        report "$HEALTH_PATH answers $status with the settings of now, too"
    else
        report "$HEALTH_PATH answers with these PHP settings"
    fi
fi
