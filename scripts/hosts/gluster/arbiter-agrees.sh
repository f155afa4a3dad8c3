# shellcheck shell=bash
# Waits until the arbiter takes no brick for outdated. Changes nothing.
#
# Input: VOLUME, FOLDER (where it notes that), BRICKS_OF (the machines with bricks, in the order in which the volume has them),
# BRICK_HOSTS (their identities: what a new machine's brick lacks is noted too).
# Postcondition: no brick is noted. Who has healed the last file tells the arbiter, seconds later; a brick that fails before
# that would stop the service, for the other one is not believed yet.

# nobody_is_outdated: whether that is so, and whose brick is outdated.
nobody_is_outdated() {
    local host number=0 found=0
    for host in $BRICKS_OF; do
        if grep --quiet '=0x0*[1-9a-f]' <<<"$(getfattr --absolute-names --dump --encoding=hex --match="trusted.afr.*-client-$number$" \
            "$FOLDER/trusted.afr.$VOLUME-ta-2".* 2>/dev/null)"; then
            echo "the brick of $host is outdated for the arbiter"
            found=1
        fi
        number=$((number + 1))
    done
    return "$found"
}

checking || wait_until 240 "the arbiter takes no brick for outdated" nobody_is_outdated
report "the arbiter takes no brick for outdated"
