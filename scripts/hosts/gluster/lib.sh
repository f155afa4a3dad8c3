# shellcheck shell=bash
# What the scripts of this folder share, read before each of them after steps/lib.sh.

# is_started INFO: whether the volume is, of which Gluster says this.
is_started() { [[ $'\n'$1$'\n' == *$'\nStatus: Started\n'* ]]; }

# all_reached: whether all bricks of VOLUME are, and which are not. The way a client asks: `volume status` would say more, but
# takes the whole pool's lock, and while a member that has just died is waited for, nobody else gets it.
all_reached() {
    local said
    said=$(timeout 600 gluster --mode=script volume heal "$VOLUME" info 2>&1) || {
        tail --lines 1 <<<"$said"
        return 1
    }
    awk '/^Brick / { bricks++; brick = $2 } /^Status: / { if ($2 == "Connected") reached++; else print brick ": " substr($0, 9) }
         END { exit !(bricks > 0 && bricks == reached) }' <<<"$said"
}

# all_connected: whether every client of one brick of VOLUME is one of each other brick too, and who is not. Gluster heals what
# a brick has missed once it is back; what a client stores that has not found that brick again is missed anew.
all_connected() {
    local said
    said=$(timeout 60 gluster --mode=script volume status "$VOLUME" clients 2>&1) || {
        tail --lines 1 <<<"$said"
        return 1
    }
    awk '/^Brick : / { bricks[brick = $3]; told++ }
         /^[0-9a-fA-F.:]+:[0-9]+ / { sub(/:[0-9]+$/, "", $1); clients[$1]; connected[$1, brick] }
         END { for (client in clients) for (brick in bricks) if (!((client, brick) in connected)) {
                   print client " is not connected to " brick; missing = 1
               }
               if (told < 2) print "not every brick is told of"
               exit missing || told < 2 }' <<<"$said"
}

# arbiter_notes: the arbiter's FOLDER has the file for its notes on VOLUME. The first client would make it, under a number of
# its own; all others, and those who heal, remember that number as long as they live. An arbiter that is made again has to
# have the same, or they would not find it any more: the volume's id.
arbiter_notes() {
    local notes=$FOLDER/trusted.afr.$VOLUME-ta-2.$VOLUME_ID numbered
    [[ $VOLUME_ID =~ ^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$ ]] || fail "the volume's id is $VOLUME_ID"
    if [[ ! -d $FOLDER/.glusterfs/indices ]]; then
        changing "makes the folder $FOLDER"
        mkdir --parents "$FOLDER/.glusterfs/indices"
        chmod 700 "$FOLDER"
    fi
    if [[ ! -e $notes ]]; then
        changing "makes the file for the arbiter's notes on $VOLUME"
        numbered=$FOLDER/.glusterfs/${VOLUME_ID:0:2}/${VOLUME_ID:2:2}/$VOLUME_ID
        mkdir --parents "$(dirname "$numbered")"
        rm -f "$FOLDER/.new" "$numbered"
        : >"$FOLDER/.new"
        setfattr --name=trusted.gfid --value="0x${VOLUME_ID//-/}" "$FOLDER/.new"
        ln "$FOLDER/.new" "$numbered"
        mv "$FOLDER/.new" "$notes"
    fi
}
