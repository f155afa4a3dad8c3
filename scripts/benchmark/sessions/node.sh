# shellcheck shell=bash
# Makes a PHP node serve every store: mounts, a second php-fpm with a pool for each, nginx's servers for them.
#
# Input: MOUNTS (lines "VOLUME OPTIONS"), LOCAL_FOLDER, FPM_CONF, NGINX_SERVERS, SOCKETS.

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

fpm=(/usr/sbin/php-fpm*)
printf '%s' "$FPM_CONF" >/etc/php-cluster/bench-fpm.conf
systemctl stop bench-fpm 2>/dev/null || true
systemd-run --quiet --collect --unit=bench-fpm --service-type=notify \
    "${fpm[-1]}" --nodaemonize --fpm-config /etc/php-cluster/bench-fpm.conf
for socket in $SOCKETS; do
    [[ -S $socket ]]
done
printf '%s' "$NGINX_SERVERS" >/etc/nginx/conf.d/bench.conf
nginx -t -q
systemctl reload nginx
