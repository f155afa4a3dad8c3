# shellcheck shell=bash
# Makes a machine trust the others on the connections of a volume with TLS; Gluster's management stays as the stack has it.
#
# Input: CERTIFICATES.

set -euo pipefail
printf '%s' "$CERTIFICATES" >/etc/ssl/glusterfs.ca
