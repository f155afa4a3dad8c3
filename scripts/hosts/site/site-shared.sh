# shellcheck shell=bash
# Gives each folder and file that a release shares its place on the volume `files`: what is there stays as it is, and what is not
# there yet comes from the release. One node does it for all; in a release that is packed there are links (components/site/package.py).
#
# Input: RELEASE (an unpacked one), SHIPPED (its folder with what it ships of them), MOUNT_POINT (of the volume), SHARED (the
# folder for them there), SHARED_DIRS, SHARED_FILES (lines with paths).
# Postcondition: each of SHARED_DIRS is a folder of PHP's user below SHARED, and so is the one around each of SHARED_FILES; a file
# that no release has shipped is for the site to make. What was shared once is never written over. It gets its place by one
# rename, when all of it is on the bricks: an interrupted run leaves nothing half. A second run changes nothing.

shipped=/srv/site/releases/$RELEASE/$SHIPPED
arriving=$MOUNT_POINT/.arriving

# own_folder PATH: a folder of PHP's user, and so are those around it that are made for it, up to SHARED.
own_folder() {
    local parent
    parent=$(dirname "$1")
    [[ -d $parent || $1 == "$SHARED" ]] || own_folder "$parent"
    [[ -d $1 ]] || install --directory --owner=www-data --group=www-data --mode=755 "$1" || fail "cannot make the folder $1"
}

# bring PATH: what the release ships there is on the volume, all of it or nothing.
bring() {
    own_folder "$(dirname "$SHARED/$1")"
    rm -rf "$arriving"
    cp --recursive --no-dereference --preserve=mode,timestamps,links "$shipped/$1" "$arriving" || fail "cannot copy $1 to the volume"
    chown --recursive --no-dereference www-data:www-data "$arriving"
    chmod --recursive u+rwX "$arriving"
    mv --no-target-directory "$arriving" "$SHARED/$1" || fail "cannot give $1 its place on the volume"
}

is_there() { [[ -e $SHARED/$1 || -L $SHARED/$1 ]]; }

[[ $(</proc/self/mounts) == *" $MOUNT_POINT fuse.glusterfs "* ]] || {
    checking || fail "$MOUNT_POINT is not mounted"
    # Who mounts it says so.
    exit 0
}
# A place that is made empty stays so: what the release ships must be there to look at.
checking || [[ -d /srv/site/releases/$RELEASE ]] || fail "release ${RELEASE:0:12} is not there"
places=0
while read -r path; do
    [[ -n $path ]] || continue
    places=$((places + 1))
    if ! is_there "$path"; then
        changing "shares $path"
        if [[ -e $shipped/$path ]]; then bring "$path"; else own_folder "$SHARED/$path"; fi
    fi
    [[ -d $SHARED/$path ]] || fail "$path is to be a shared folder, but $SHARED/$path is none: was it a file before? move it away"
done <<<"$SHARED_DIRS"
while read -r path; do
    [[ -n $path ]] || continue
    places=$((places + 1))
    if ! is_there "$path"; then
        if [[ -e $shipped/$path ]]; then
            changing "shares $path"
            bring "$path"
        elif [[ ! -d $(dirname "$SHARED/$path") ]]; then
            changing "makes the folder for $path"
            own_folder "$(dirname "$SHARED/$path")"
        fi
    elif [[ -d $SHARED/$path ]]; then
        fail "$path is to be a shared file, but $SHARED/$path is a folder: was it one before? move it away"
    elif [[ -f $shipped/$path ]] && ! checking && ! cmp --silent "$shipped/$path" "$SHARED/$path"; then
        echo "$path stays as it is on the volume; the release ships another one"
    fi
done <<<"$SHARED_FILES"
report "$places shared, in $SHARED"
