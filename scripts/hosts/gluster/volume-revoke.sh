# shellcheck shell=bash
# Takes the right to mount the volume from all machines but these.
#
# Input: VOLUME, ADDRESSES (separated by commas), all of which volume-options.sh has admitted.
# Postcondition: the volume admits the addresses and no others. Gluster cuts off at once whom it no longer admits.
# A second run changes nothing.

allowed=$(gluster --mode=script volume info "$VOLUME" | sed --quiet 's/^auth\.allow: //p')
if [[ $ADDRESSES != "$allowed" ]]; then
    changing "admits only $ADDRESSES"
    said=$(gluster --mode=script volume set "$VOLUME" auth.allow "$ADDRESSES" 2>&1) || fail "volume set auth.allow $ADDRESSES failed: $said"
fi
report "$VOLUME admits ${ADDRESSES//,/, }"
