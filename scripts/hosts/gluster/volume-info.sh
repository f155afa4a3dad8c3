# shellcheck shell=bash
# Shows the volume, the article's `gluster volume info`. Changes nothing.
#
# Input: VOLUME. Output: what the command prints, for the stack's output `volumeInfo`.

gluster --mode=script volume info "$VOLUME" | sed '/^ *$/d'
