# shellcheck shell=bash
# Has what HAProxy serves as the status page, and notes what changes about the cluster.
#
# Input: FLOATING_IP, PAGE_FOLDER, PAGE_HTML, PAGE_CSS, PAGE_JS (texts), CLUSTER_CHANGES, CHANGES_SERVICE, CHANGES_TIMER,
# CHANGES_SOCKET, TELLS_CHANGES (unit files).
# Postcondition: the page's files are there, a look is noted every 15 s, and HAProxy can ask for what was noted. A second run
# changes nothing. HAProxy reads the page when it starts: a page that changed is served after a reload.

unit=php-cluster-changes
put_file "$PAGE_FOLDER/page.html" 0644 "$PAGE_HTML"
put_file "$PAGE_FOLDER/page.css" 0644 "$PAGE_CSS"
put_file "$PAGE_FOLDER/page.js" 0644 "$PAGE_JS"
if ! unchanged && systemctl is-active --quiet haproxy && grep --quiet --fixed-strings "$PAGE_FOLDER" /etc/haproxy/haproxy.cfg; then
    worker=$(haproxy_worker)
    systemctl reload haproxy
    said=$(await_reload "$worker") || fail "haproxy does not reload: $said"
fi
put_file /usr/lib/php-cluster/cluster-changes 0755 "$CLUSTER_CHANGES"
put_unit "$unit.service" "$CHANGES_SERVICE" FLOATING_IP
put_unit "$unit@.service" "$TELLS_CHANGES" FLOATING_IP
put_unit "$unit.socket" "$CHANGES_SOCKET"
put_unit "$unit.timer" "$CHANGES_TIMER"
reread_if_changed "$unit".{service,socket,timer}
# The timer's Requires= starts the socket, and leaves one alone that listens as it did before.
unchanged || systemctl try-restart "$unit.socket" || fail "$unit.socket does not restart"
enabled_and_running "$unit.timer" restart
forget_steps '*-status-page-left'
report "the status page is there"
