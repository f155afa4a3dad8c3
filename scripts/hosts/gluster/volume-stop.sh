# shellcheck shell=bash
# Stops a volume that no node mounts any more. What is on it stays, for a stack that starts it again.
#
# Input: VOLUME. Postcondition: no brick of it runs, now or after a boot. A second run changes nothing.

info=$(gluster --mode=script volume info "$VOLUME" 2>/dev/null) || true
if is_started "$info"; then
    changing "stops $VOLUME"
    said=$(gluster --mode=script volume stop "$VOLUME" force 2>&1) || fail "volume stop failed: $said"
fi
forget_steps "$VOLUME-volume-*" "*-$VOLUME-brick*"
report "volume $VOLUME is stopped, its data stay on the bricks"
