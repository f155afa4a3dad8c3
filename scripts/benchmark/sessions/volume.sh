# shellcheck shell=bash
# Makes a volume for the measurement.
#
# Input: VOLUME, LAYOUT, BRICKS ("lb1:/session/NAME-0 …"), OPTIONS ("name value …").

set -euo pipefail
read -r -a layout <<<"$LAYOUT"
read -r -a bricks <<<"$BRICKS"
# By force: Gluster minds when a machine holds two bricks of a file.
gluster --mode=script volume create "$VOLUME" "${layout[@]}" transport tcp "${bricks[@]}" force
read -r -a options <<<"$OPTIONS"
((${#options[@]} == 0)) || gluster --mode=script volume set "$VOLUME" "${options[@]}"
gluster --mode=script volume start "$VOLUME"
