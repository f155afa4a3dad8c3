# shellcheck shell=bash
# Makes a machine trust the others on the connections of a volume with TLS; Gluster's management stays as the stack has it.
#
# Input: CERTIFICATES.

set -euo pipefail
printf '%s' "$CERTIFICATES" >/etc/ssl/glusterfs.ca
# Debian's OpenSSL has its folder elsewhere, and Gluster looks there.
for kind in ca key pem; do
    ln --symbolic --force --no-dereference "/etc/ssl/glusterfs.$kind" "/usr/lib/ssl/glusterfs.$kind"
done
