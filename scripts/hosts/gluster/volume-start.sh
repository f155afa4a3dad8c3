# shellcheck shell=bash
# Starts the volume, the article's `gluster volume start`.
#
# Input: VOLUME, BRICK_HOSTS (the machines' identities: a new machine's brick has to be started), LAYOUT (for another one bricks are
# started anew).
# Postcondition: the volume is started, and every brick of it is reached. A second run changes nothing.

info=$(gluster --mode=script volume info "$VOLUME") || true
if ! is_started "$info"; then
    changing "starts $VOLUME"
    said=$(gluster --mode=script volume start "$VOLUME" 2>&1) || fail "volume start failed: $said"
fi
wait_for_bricks() { wait_until 120 "all bricks of $VOLUME are reached" all_reached; }
if checking || ! unchanged; then
    wait_for_bricks
elif ! all_reached >/dev/null; then
    # A brick that has died while its daemon goes on stays dead until it is told to start.
    changing "starts what bricks do not run"
    timeout 60 gluster --mode=script volume start "$VOLUME" force >/dev/null 2>&1 || true
    wait_for_bricks
fi
forget_steps "$VOLUME-volume-stopped"
report "volume $VOLUME is started, all bricks are reached"
