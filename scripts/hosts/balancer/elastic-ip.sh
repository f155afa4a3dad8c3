# shellcheck shell=bash
# Makes the service that moves the Elastic IP when keepalived says so.
#
# Input: PROGRAM (text of balancer/elastic-ip), SETTINGS (JSON: region, address, interfaces), ELASTIC_IP_SERVICE (unit file).
# Postcondition: the service is enabled and runs with these settings, before keepalived does. A second run changes nothing.

put_file /usr/lib/php-cluster/elastic-ip 0755 "$PROGRAM"
put_file /etc/php-cluster/elastic-ip.json 0644 "$SETTINGS"
put_unit php-cluster-elastic-ip.service "$ELASTIC_IP_SERVICE"
enabled_and_running php-cluster-elastic-ip restart
report "the Elastic IP follows keepalived"
