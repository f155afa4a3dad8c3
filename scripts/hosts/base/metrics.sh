# shellcheck shell=bash
# Has the machine's exporter for Prometheus tell of the cluster, too.
#
# Input: FLOATING_IP (empty: not a balancer), ARBITER_FOLDER, BRICKS_OF (the machines with bricks, in the order in which volumes
# have them), FIRST_BRICK_PORT, QUORUM (of bricks and arbiter, how many have to agree), COLLECT_METRICS, METRICS_SERVICE,
# METRICS_TIMER (unit files).
# Postcondition: Debian's exporter runs, with what collect-metrics finds every 15 s. A second run changes nothing. An exporter
# that runs already stays as its owner has set it up.

unit=prometheus-node-exporter own=/var/lib/php-cluster/own-exporter
if ! is_enabled "$unit"; then
    changing "enables $unit"
    # Whoever unconfigures the machine ends it.
    : >"$own"
    if [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$unit" 2>/dev/null) != installed ]]; then
        apt_get update || fail "apt-get update failed; can this machine reach its package mirror?"
        apt_get install --no-install-recommends "$unit" || fail "apt-get could not install $unit"
    fi
fi
put_file /usr/lib/php-cluster/collect-metrics 0755 "$COLLECT_METRICS"
put_unit php-cluster-metrics.service "$METRICS_SERVICE" FLOATING_IP ARBITER_FOLDER BRICKS_OF FIRST_BRICK_PORT QUORUM
put_unit php-cluster-metrics.timer "$METRICS_TIMER"
reread_if_changed php-cluster-metrics.service php-cluster-metrics.timer
enabled_and_running "$unit"
enabled_and_running php-cluster-metrics.timer
forget_steps '*-metrics-left'
report "the exporter tells of the cluster"
