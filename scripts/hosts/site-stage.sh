# shellcheck shell=bash
# Unpacks a release of the site beside the one that serves, and looks whether its pages compile.
#
# Input: ARCHIVE (tar.gz that was copied to this machine), HASH (its SHA-256), COMPILES_PHP.
# Postcondition: /srv/site/releases/HASH is there, and every PHP file of it outside of folders named `vendor` can be parsed.
# What serves is left alone. A second run changes nothing.

releases=/srv/site/releases
release=$releases/$HASH
put_file /usr/lib/php-cluster/compiles.php 0644 "$COMPILES_PHP"
if [[ ! -d $release ]]; then
    changing "unpacks release ${HASH:0:12}"
    [[ -f $ARCHIVE ]] || fail "$ARCHIVE was not copied"
    mkdir -p "$releases"
    rm -rf "$releases"/.unpacking-*
    unpacking=$(mktemp --directory "$releases/.unpacking-XXXXXX")
    # Looked at after it was copied: nobody but root can change what was checked.
    cp "$ARCHIVE" "$unpacking/archive"
    [[ $(sha256sum <"$unpacking/archive") == "$HASH  -" ]] || fail "$ARCHIVE is damaged"
    mkdir "$unpacking/site"
    tar --extract --gzip --file "$unpacking/archive" --directory "$unpacking/site" --no-same-owner
    said=$(cd "$unpacking/site" && php -d auto_prepend_file= /usr/lib/php-cluster/compiles.php 2>&1) \
        || fail "the new site does not compile, the old one stays: $said"
    mv --no-target-directory "$unpacking/site" "$release"
    rm -r "$unpacking"
fi
rm -f "$ARCHIVE"
report "release ${HASH:0:12} lies ready"
