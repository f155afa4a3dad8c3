# shellcheck shell=bash
# Runs the arbiter, the one whose word counts when the bricks cannot agree.
#
# Input: FOLDER (where it notes which brick is outdated), PORT, VOLUME_FILE (how it is built), VOLUME, VOLUME_ID.
# Postcondition: the arbiter runs and listens, now and after a boot. A second run changes nothing. What it has noted stays.

volume_file=/etc/php-cluster/arbiter.vol
unit=php-cluster-arbiter

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>&1; }

arbiter_notes
put_file "$volume_file" 0644 "$VOLUME_FILE" || true
put_file "/etc/systemd/system/$unit.service" 0644 "[Unit]
Description=Arbiter of the sessions' bricks
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/sbin/glusterfsd --no-daemon --volfile=$volume_file --log-file=/var/log/glusterfs/arbiter.log
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
" || true
enabled_and_running "$unit" restart
wait_until 60 "the arbiter listens" listens
forget_steps '*-arbiter-left'
report "the arbiter runs"
