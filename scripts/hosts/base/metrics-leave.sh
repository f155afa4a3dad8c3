# shellcheck shell=bash
# Takes back what metrics.sh has set up.
#
# Input: none. Postcondition: nothing is collected; the exporter does not run, unless it did before the cluster wanted it. A
# second run changes nothing.

own=/var/lib/php-cluster/own-exporter
if [[ -e /etc/systemd/system/php-cluster-metrics.timer ]]; then
    changing "ends the collection of metrics"
    systemctl disable --quiet --now php-cluster-metrics.timer
    rm -f /etc/systemd/system/php-cluster-metrics.{service,timer} /usr/lib/php-cluster/collect-metrics \
        /var/lib/prometheus/node-exporter/php-cluster.prom
    systemctl daemon-reload
fi
if [[ -e $own ]]; then
    changing "ends the exporter"
    systemctl disable --quiet --now prometheus-node-exporter
    rm "$own"
fi
forget_steps '*-metrics'
report "no metrics are told"
