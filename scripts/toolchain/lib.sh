# shellcheck shell=bash
# Common ground of the toolchain's scripts: places, and stages that show what they do.

set -euo pipefail

TOOLCHAIN=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROJECT=$(dirname "$(dirname "$TOOLCHAIN")")
LOCAL=$PROJECT/.cluster
# Built once for all checkouts; its parts are named by their content.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/php-cluster
export TOOLCHAIN PROJECT LOCAL CACHE

fail() {
    echo "$1" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# stage TITLE COMMAND…: runs a part of the set-up with its output in a log; shows that it lives, how long it took, and
# the end of the log if it fails.
stage() {
    local title=$1 log status=0 begin=$SECONDS shown=$SECONDS last child
    shift
    mkdir -p "$LOCAL/log"
    log=$LOCAL/log/${title//[^a-zA-Z0-9]/-}.log
    printf '%s …\n' "$title"
    # A process group of its own, to be interrupted as a whole: an interrupted set-up leaves nothing running behind, and does not
    # end before what has to be ended properly.
    set -m
    "$@" >"$log" 2>&1 &
    child=$!
    set +m
    trap 'echo "  interrupted; it ends what cannot stay half done"; kill -INT -- "-$child" 2>/dev/null; wait "$child"; exit 130' INT TERM
    while kill -0 "$child" 2>/dev/null; do
        if ((SECONDS >= shown + 5)); then
            shown=$SECONDS
            last=$(tail --lines 1 "$log" | tr --delete '\r' | cut --characters 1-90)
            printf '  %3d s  %s\n' $((SECONDS - begin)) "$last"
        fi
        sleep 0.1
    done
    wait "$child" || status=$?
    trap - INT TERM
    if ((status != 0)); then
        tail --lines 25 "$log" >&2
        fail "$title failed; the lines above are the end of $log"
    fi
    printf '  done in %d s\n' $((SECONDS - begin))
}

# digest FILE…: one hash of all the files' content.
digest() {
    cat "$@" | sha256sum | head --bytes 16
}

# stamped NAME VALUE: whether the part NAME was finished for exactly this VALUE.
stamped() { [[ $(cat "$LOCAL/stamps/$1" 2>/dev/null) == "$2" ]]; }

stamp() {
    mkdir -p "$LOCAL/stamps"
    printf '%s' "$2" >"$LOCAL/stamps/$1.new"
    mv "$LOCAL/stamps/$1.new" "$LOCAL/stamps/$1"
}

# state_folder: where a file backend keeps stacks and locks; no folder at all with another backend, which Pulumi's own
# service, say, looks after itself.
state_folder() {
    if [[ $PULUMI_BACKEND_URL == file://* ]]; then echo "${PULUMI_BACKEND_URL#file://}/.pulumi"; fi
}

# mend_state: beside each file of a stack the engine keeps one that says what kind of file it is. An engine that is killed
# between making and filling it leaves it empty, and says nothing but "EOF" of the whole stack from then on. Where there is
# none at all it does well (findings/gocloud-empty-attributes-hide-the-file.sh).
mend_state() {
    local folder
    folder=$(state_folder)
    [[ ! -d $folder/stacks ]] || find "$folder/stacks" -name '*.attrs' -empty -delete
}
