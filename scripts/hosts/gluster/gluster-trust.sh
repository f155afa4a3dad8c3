# shellcheck shell=bash
# Says whom a machine believes on Gluster's connections, and that it believes nobody else.
#
# Input: CERTIFICATES (of gluster-certificate.sh, one below the other), EXACT ("no": machines with other names that it has
# believed already, it still does, until it is said with "yes").
# Postcondition: /etc/ssl/glusterfs.ca has these certificates, Gluster finds it, and encrypts its management too. Gluster reads the
# list for each connection that begins: nothing is restarted, and what is connected stays so.
# A second run changes nothing.

trusted=/etc/ssl/glusterfs.ca
# Debian's build looks in OpenSSL's own folder, where Debian has links for such files.
for kind in key pem ca; do
    link=/usr/lib/ssl/glusterfs.$kind
    if [[ $(readlink "$link") != "/etc/ssl/glusterfs.$kind" ]]; then
        changing "links $link"
        ln --symbolic --force --no-dereference "/etc/ssl/glusterfs.$kind" "$link"
    fi
done
kept=
if [[ $EXACT == no && -f $trusted ]]; then
    names=$(sed --quiet 's/^# \([^,]*\),.*/\1/p' <<<"$CERTIFICATES" | paste --serial --delimiters ' ')
    kept=$(awk -F '[ ,]' -v names=" $names " '/^# / { others = !index(names, " " $2 " ") } others' "$trusted")
fi
put_file "$trusted" 0644 "$CERTIFICATES${kept:+$kept$'\n'}"
# Its presence is what glusterd, the command line and the mount look for when they start.
put_file /var/lib/glusterd/secure-access 0600 ""
report "trusts $(grep --count '^# ' "$trusted") machines"
