# shellcheck shell=bash
# Makes the volume's definition here the same as on a brick host with GlusterFS 11, where this one has 10.
#
# Input: VOLUME, BRICKS_GO_ON_DROP_IN (unit file).
# Postcondition: the definition lacks what 10 writes and 11 leaves out, and the peers see each other. A second run changes nothing.
#
# Of a volume that both have created, each would reject the other when a daemon starts again
# (findings/gluster-11-peer-rejected-at-its-second-start.sh). A daemon of 10 that starts without the line never writes it again.

home=/var/lib/glusterd/vols/$VOLUME
bricks_go_on=/run/systemd/system/glusterd.service.d/php-cluster-bricks-go-on.conf

peers_agree() {
    local said
    said=$(gluster --mode=script peer status) || return 1
    [[ $said == *"State: "* ]] && ! grep '^State: ' <<<"$said" | grep --invert-match --line-regexp 'State: Peer in Cluster (Connected)'
}

if grep --quiet '^nfs\.disable=' "$home/info"; then
    changing "takes from the definition of $VOLUME what GlusterFS 11 leaves out"
    mkdir -p "$(dirname "$bricks_go_on")"
    printf '%s' "$BRICKS_GO_ON_DROP_IN" >"$bricks_go_on"
    systemctl daemon-reload
    systemctl stop glusterd
    sed --in-place '/^nfs\.disable=/d' "$home/info"
    sync --file-system "$home"
    systemctl start glusterd
    rm "$bricks_go_on"
    systemctl daemon-reload
    wait_until 60 "the peers agree" peers_agree
fi
report "GlusterFS 10 and 11 agree about $VOLUME"
