# shellcheck shell=bash
# Removes the log of sessions, when all of them are files and no service runs any more. Runs on one node.
#
# Input: MOUNT_POINT. Postcondition: there is no log. A second run changes nothing.

is_mounted || fail "the sessions are not mounted"
if [[ -d $MOUNT_POINT/log ]]; then
    changing "removes the log of sessions"
    # All at once: a part of a log is none that a service could begin with.
    mv --no-target-directory "$MOUNT_POINT/log" "$MOUNT_POINT/.log-that-was-left"
fi
if [[ -d $MOUNT_POINT/.log-that-was-left ]]; then
    changing "removes what is left of the log"
    rm -r "$MOUNT_POINT/.log-that-was-left"
fi
forget_steps '*-session-log'
report "there is no log of sessions"
