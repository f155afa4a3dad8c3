# shellcheck shell=bash
# Makes the service that moves the Elastic IP when keepalived says so.
#
# Input: PROGRAM (text of scripts/hosts/balancer/elastic-ip), SETTINGS (JSON: region, address, interfaces).
# Postcondition: the service is enabled and runs with these settings, before keepalived does. A second run changes nothing.

put_file /usr/lib/php-cluster/elastic-ip 0755 "$PROGRAM"
put_file /etc/php-cluster/elastic-ip.json 0644 "$SETTINGS"
put_file /etc/systemd/system/php-cluster-elastic-ip.service 0644 "[Unit]
Description=Keep the Elastic IP with the active load balancer
Wants=network-online.target
After=network-online.target
Before=keepalived.service
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/lib/php-cluster/elastic-ip follow
Restart=always
RestartSec=1
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=yes
PrivateTmp=yes
CapabilityBoundingSet=
[Install]
WantedBy=multi-user.target
"
enabled_and_running php-cluster-elastic-ip restart
report "the Elastic IP follows keepalived"
