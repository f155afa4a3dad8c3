# shellcheck shell=bash
# Makes a PHP node serve every store: mounts, two more php-fpm with a pool for each, nginx's servers for them.
#
# Input: MOUNTS (lines "VOLUME OPTIONS"), LOCAL_FOLDER, WAIT_HANDLER (path), WAIT_HANDLER_PHP, FPM_CONF, PLAIN_FPM_CONF (without
# the extension), NGINX_SERVERS, SOCKETS.

set -euo pipefail
while read -r volume options; do
    [[ -n $volume ]] || continue
    mkdir -p "/media/$volume"
    # As a unit, so that its CPU time can be told from others'.
    printf '[Mount]\nWhat=lb1:/%s\nWhere=/media/%s\nType=glusterfs\nOptions=%s\n' "$volume" "$volume" "$options" \
        >"/etc/systemd/system/$(systemd-escape --path --suffix=mount "/media/$volume")"
    systemctl daemon-reload
    systemctl start "$(systemd-escape --path --suffix=mount "/media/$volume")"
    chown www-data:www-data "/media/$volume"
    chmod 700 "/media/$volume"
done <<<"$MOUNTS"
install --directory --owner=www-data --group=www-data --mode=700 "$LOCAL_FOLDER"
printf '%s' "$WAIT_HANDLER_PHP" >"$WAIT_HANDLER"

fpm=(/usr/sbin/php-fpm*)
# start NAME CONFIGURATION OPTION…: a php-fpm as a service of that name, where there is anything for it to do.
start() {
    local name=$1
    systemctl stop "$name" 2>/dev/null || true
    [[ -n $2 ]] || return 0
    printf '%s' "$2" >"/etc/php-cluster/$name.conf"
    systemd-run --quiet --collect --unit="$name" --service-type=notify \
        "${fpm[-1]}" --nodaemonize --fpm-config "/etc/php-cluster/$name.conf" "${@:3}"
}
start bench-fpm "$FPM_CONF"
# Without a folder the extension leaves PHP as it is.
start bench-plain-fpm "$PLAIN_FPM_CONF" -d php_cluster.folder=
for socket in $SOCKETS; do
    [[ -S $socket ]]
done
printf '%s' "$NGINX_SERVERS" >/etc/nginx/conf.d/bench.conf
nginx -t -q
systemctl reload nginx
