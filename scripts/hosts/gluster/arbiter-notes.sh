# shellcheck shell=bash
# Gives the arbiter a place for its notes on one more volume.
#
# Input: FOLDER (where it notes which brick is outdated), VOLUME, VOLUME_ID.
# Postcondition: the file for them is there. A second run changes nothing. What is noted stays.

arbiter_notes
report "the arbiter can note what is outdated of $VOLUME"
