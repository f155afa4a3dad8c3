# shellcheck shell=bash
# Runs a step. Comes first on the standard input of `bash -s`; the step's text follows (components/steps/remote.py).
#
# Input: STEP, FILES (names of the host scripts that it needs, each ending in its content's hash), SCRIPTS (the folder for them),
# STEPS (the folder for texts of steps), ARRIVALS (how the paths of archives with scripts begin), HASH_CHARACTERS (of a SHA-256,
# in a name). Output: the step's own.
# Postcondition: SCRIPTS has all of FILES, the step has run, and STEPS keeps its text, to be looked at and run again there. A second
# run unpacks nothing.

set -euo pipefail
umask 022
# shellcheck disable=SC2174  # what is around them is for everybody
mkdir --parents --mode=700 "$STEPS" "$SCRIPTS"
cd "$SCRIPTS"

# is_right HASH NAME: whether the name tells this hash.
is_right() { [[ ${1:0:HASH_CHARACTERS} == "${2##*.}" ]]; }

# are_here: whether all of FILES are, with the content that their names tell: a power cut may leave a file empty.
# shellcheck disable=SC2086  # a word each
are_here() { sha256sum $FILES 2>&1 | while read -r hash file; do is_right "$hash" "$file" || exit 1; done; }

# unpack: takes what has the content that its name tells from the archives that have arrived. Anybody on a machine may write where
# they arrive; only those of root and of the connection's user count.
unpack() {
    local archive new
    for archive in "$ARRIVALS"*.tar; do
        [[ -f $archive && ! -L $archive ]] || continue
        [[ -O $archive || $(stat --format=%U "$archive") == "${SUDO_USER-}" ]] || continue
        new=$(mktemp --directory .XXXXXX)
        tar --extract --no-same-owner --file "$archive" --directory "$new" || true
        find "$new" -type f -exec sha256sum {} + | while read -r hash file; do
            ! is_right "$hash" "$file" || mv "$file" .
        done
        rm -rf "$new" "$archive"
    done
}

# run_text: under a name of its own while it runs, so that a second run cannot change the text under the first; under the step's
# name when it has ended well.
run_text() {
    bash "$text" </dev/null
    mv "$text" "$STEPS/$STEP"
}

are_here || (
    flock 9
    unpack
) 9>.lock
are_here || {
    echo "not here: $FILES; pulumi up --replace '**-scripts' brings them again" >&2
    exit 1
}
text=$(mktemp "$STEPS/.$STEP.XXXXXX")
trap 'rm -f "$text"' EXIT
