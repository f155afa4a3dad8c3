# shellcheck shell=bash
# Starts the volume, the article's `gluster volume start`.
#
# Input: VOLUME.
# Postcondition: the volume is started and every brick of it is online.
# A second run changes nothing.

info=$(gluster --mode=script volume info "$VOLUME") || true
if [[ $'\n'$info$'\n' != *$'\nStatus: Started\n'* ]]; then
    said=$(gluster --mode=script volume start "$VOLUME" 2>&1) || fail "volume start failed: $said"
    changed "started $VOLUME"
fi

# all_online: whether `volume status` shows a port and `Online : Y` for each brick.
all_online() {
    local detail
    detail=$(gluster --mode=script volume status "$VOLUME" detail 2>&1) || {
        echo "$detail"
        return 1
    }
    awk '/^Brick / { bricks++; brick = $0 } /^Online / { if ($NF == "Y") online++; else print brick }
         END { exit !(bricks > 0 && bricks == online) }' <<<"$detail"
}
wait_until 120 "all bricks of $VOLUME are online" all_online
report "volume $VOLUME is started, all bricks online"
