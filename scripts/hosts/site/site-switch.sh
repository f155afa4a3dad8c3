# shellcheck shell=bash
# Switches the site to a release that lies ready, with its workers and timers, and waits until the node can serve it.
#
# Input: RELEASE, ROLLED_BACK_TO (the release that serves in its place, if any), OTHER_STEPS (names of steps
# that do not belong to the site any more), JOB_FILES (paths of the units of workers and
# timers and of their commands), JOB_FILE_0 … (their contents), WORKERS and TIMERS (units that run).
# Postcondition: /srv/site/current is that release, or the one to which it was rolled back, and /srv/site/web its web root. The
# switch is one rename: a request sees the old site or the new one. The last three releases that served stay. Workers run on
# the release; those of before have had their time to end. The node's health page says that it can serve.
# A second run changes nothing.

releases=/srv/site/releases
rolled_back=/srv/site/rolled-back
program=/usr/lib/php-cluster/site-release
wanted=$("$program" target "$RELEASE" "$ROLLED_BACK_TO")

if [[ $(readlink /srv/site/current 2>/dev/null) != "$releases/$wanted" || ! -e /srv/site/web ]]; then
    changing "switches to release ${wanted:0:12}"
    [[ -d $releases/$wanted ]] || fail "release ${wanted:0:12}, to which the site was rolled back, is not on this machine: bring its files, or another release"
    "$program" switch "$wanted"
    "$program" prune
fi
if [[ $wanted != "$RELEASE" ]]; then
    put_file "$rolled_back" 0644 "$RELEASE $wanted
"
elif [[ -e $rolled_back ]]; then
    changing "ends the rollback"
    rm "$rolled_back"
fi

read -ra workers <<<"$WORKERS"
read -ra timers <<<"$TIMERS"
read -ra files <<<"$JOB_FILES"
units=/etc/systemd/system
shopt -s nullglob
for link in "$units"/*.wants/php-cluster-{worker,cron}-*; do
    unit=${link##*/}
    [[ " $WORKERS $TIMERS " == *" $unit "* ]] || {
        changing "stops $unit"
        systemctl disable --quiet --now "$unit"
    }
done
for file in "$units"/php-cluster-{worker,cron}-* /etc/php-cluster/jobs/*; do
    [[ " $JOB_FILES " == *" $file "* ]] || {
        changing "removes $file"
        rm "$file"
    }
done
for index in "${!files[@]}"; do
    content=JOB_FILE_$index
    put_file "${files[index]}" 0644 "${!content}"
done
for unit in "${workers[@]}" "${timers[@]}"; do
    enabled "$unit"
    [[ $(systemctl show --property=ActiveState --value "$unit") == @(active|activating|reloading) ]] || changing "starts $unit"
done
if ! unchanged && [[ -n $WORKERS$TIMERS ]]; then
    systemctl daemon-reload
    # Not restarted: one that is due in this very moment would be left out.
    [[ -z $TIMERS ]] || systemctl start "${timers[@]}"
    # All at once: each may take its time to end.
    [[ -z $WORKERS ]] || systemctl restart "${workers[@]}"
fi

# shellcheck disable=SC2086  # a word each
forget_steps $OTHER_STEPS

# The balancers ask the same page before they send anybody here.
serves() { curl --silent --show-error --fail-with-body --max-time 5 http://127.0.0.1:8406/health; }
wait_until 60 "this node can serve" serves
report "the site is release ${wanted:0:12}"
