# shellcheck shell=bash
# Says which machines may mount the volume.
#
# Input: VOLUME, ADDRESSES (separated by commas), EXACT ("no": those that may already, still may).
# Postcondition: the volume admits the addresses, with EXACT=yes no others. Gluster cuts off at once whom it no longer admits.
# A second run changes nothing.

allowed=$(gluster --mode=script volume info "$VOLUME" | sed --quiet 's/^auth\.allow: //p')
wanted=$ADDRESSES
if [[ $EXACT == no && -n $allowed && $allowed != '*' ]]; then
    wanted=$(tr ',' '\n' <<<"$ADDRESSES,$allowed" | awk 'NF && !seen[$0]++' | paste --serial --delimiters ,)
    # The same machines in another order are no news.
    [[ $(tr ',' '\n' <<<"$wanted" | sort) != "$(tr ',' '\n' <<<"$allowed" | sort)" ]] || wanted=$allowed
fi
if [[ $wanted != "$allowed" ]]; then
    changing "admits $wanted"
    said=$(gluster --mode=script volume set "$VOLUME" auth.allow "$wanted" 2>&1) || fail "volume set auth.allow $wanted failed: $said"
fi
report "$VOLUME admits ${wanted//,/, }"
