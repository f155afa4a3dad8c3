# shellcheck shell=bash
# Switches the site to another release.
#
# Input: ARCHIVE (tar.gz that was copied to this machine), HASH (its SHA-256).
# Postcondition: /srv/site/current is that release. The switch is one rename: a request sees the old site or the new one.
# The last three releases stay, for requests that still run on them. A second run changes nothing.

releases=/srv/site/releases
release=$releases/$HASH
if [[ ! -d $release ]]; then
    [[ -f $ARCHIVE ]] || fail "$ARCHIVE was not copied"
    mkdir -p "$releases"
    unpacking=$(mktemp --directory "$releases/.unpacking-XXXXXX")
    # Looked at after it was copied: nobody but root can change what was checked.
    cp "$ARCHIVE" "$unpacking/archive"
    [[ $(sha256sum <"$unpacking/archive") == "$HASH  -" ]] || fail "$ARCHIVE is damaged"
    mkdir "$unpacking/site"
    tar --extract --gzip --file "$unpacking/archive" --directory "$unpacking/site" --no-same-owner
    mv --no-target-directory "$unpacking/site" "$release"
    rm -r "$unpacking"
    changed "unpacked release ${HASH:0:12}"
fi
rm -f "$ARCHIVE"
if [[ $(readlink /srv/site/current 2>/dev/null) != "$release" ]]; then
    ln --symbolic --force --no-dereference "$release" /srv/site/.next
    mv --no-target-directory /srv/site/.next /srv/site/current
    touch "$release"
    changed "switched to release ${HASH:0:12}"
    find "$releases" -mindepth 1 -maxdepth 1 -type d ! -path "$release" -printf '%T@ %p\n' | sort --numeric-sort --reverse \
        | tail --lines +3 | cut --delimiter ' ' --fields 2- | xargs --no-run-if-empty rm -rf
fi
report "the site is release ${HASH:0:12}"
