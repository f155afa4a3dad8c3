# shellcheck shell=bash
# Unpacks a release of the site beside the one that serves, and looks whether its pages compile.
#
# Input: ARCHIVE (tar.gz that was copied to this machine), HASH (its SHA-256), RELEASE (the release's name), WEB_ROOT (its
# folder that is served; empty: the release itself), WRITABLE_DIRS (its folders that PHP may write to, one a line),
# COMPILES_PHP, SITE_RELEASE and RUN_ONCE (programs).
# Postcondition: /srv/site/releases/RELEASE is there, with its folders for PHP, and every PHP file of it outside of folders
# named `vendor` can be parsed. What serves is left alone. A second run changes nothing.

releases=/srv/site/releases
release=$releases/$RELEASE
notes=/srv/site/notes/$RELEASE

# lay_out FOLDER: adds what an unpacked release needs beside its own files.
lay_out() {
    local folder
    while read -r folder; do
        [[ -z $folder ]] || lay_writable "$1" "$folder"
    done <<<"$WRITABLE_DIRS"
}

# lay_writable RELEASE FOLDER: makes it, with all that it holds, PHP's.
lay_writable() {
    local path=$1/$2
    [[ -d $path && ! -L $path && $(stat --format=%U:%G "$path") == www-data:www-data ]] && return
    [[ $(realpath --canonicalize-missing "$path") == "$path" ]] || fail "writableDirs: $2 of the site is a link, or lies behind one"
    [[ ! -e $path || -d $path ]] || fail "writableDirs: $2 of the site is a file"
    changing "lets PHP write to $2"
    mkdir -p "$path"
    chown --recursive --no-dereference www-data:www-data "$path"
}

put_file /usr/lib/php-cluster/compiles.php 0644 "$COMPILES_PHP"
put_file /usr/lib/php-cluster/site-release 0755 "$SITE_RELEASE"
put_file /usr/lib/php-cluster/run-once 0755 "$RUN_ONCE"
if [[ ! -d $release ]]; then
    changing "unpacks release ${RELEASE:0:12}"
    [[ -f $ARCHIVE ]] || fail "$ARCHIVE was not copied"
    mkdir -p "$releases"
    rm -rf "$releases"/.unpacking-*
    unpacking=$(mktemp --directory "$releases/.unpacking-XXXXXX")
    # Looked at after it was copied: nobody but root can change what was checked.
    cp "$ARCHIVE" "$unpacking/archive"
    [[ $(sha256sum <"$unpacking/archive") == "$HASH  -" ]] || fail "$ARCHIVE is damaged"
    mkdir "$unpacking/site"
    tar --extract --gzip --file "$unpacking/archive" --directory "$unpacking/site" --no-same-owner
    said=$(cd "$unpacking/site" && php /usr/lib/php-cluster/compiles.php 2>&1) \
        || fail "the new site does not compile, the old one stays: $said"
    lay_out "$unpacking/site"
    mv --no-target-directory "$unpacking/site" "$release"
    rm -r "$unpacking"
fi
lay_out "$release"
put_file "$notes/web-root" 0644 "$WEB_ROOT"
rm -f "$ARCHIVE"
report "release ${RELEASE:0:12} lies ready"
