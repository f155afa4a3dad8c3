# shellcheck shell=bash
# Common ground of every host script; components/remote.py puts this text before the script itself.
#
# The script arrives on standard input of `bash -s`, so nothing it carries is seen in a command line.
# Each script observes first, changes only what differs, and ends with `report`: a second run says "nothing to change".
# To run one by hand on a machine: (echo "STEP=name VARIABLE=…"; cat lib.sh script.sh) | bash -s

set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
changes=0

# An engine that was killed may have left its last step running: the next one waits for it.
exec 9>"/run/lock/php-cluster-${STEP:?}"
flock --wait 300 9 || {
    echo "step $STEP is still running on $(hostname) since an earlier update" >&2
    exit 1
}

# changed WHAT: notes one difference that this run removed.
changed() {
    changes=$((changes + 1))
    echo "$1"
}

# fail MESSAGE: ends the step with one plain sentence.
fail() {
    echo "$(hostname): $1" >&2
    exit 1
}

# put_file PATH MODE CONTENT [OWNER:GROUP]: writes the file if content, mode or owner differ; true when it changed it.
put_file() {
    local path=$1 mode=$2 content=$3 owner=${4:-root:root} temporary
    if [[ -f $path && ! -L $path ]] && printf '%s' "$content" | cmp --silent - "$path" \
        && [[ $(stat --format='%a %U:%G' "$path") == "${mode#0} $owner" ]]; then
        return 1
    fi
    mkdir -p "$(dirname "$path")"
    temporary=$(mktemp "$(dirname "$path")/.$(basename "$path").XXXXXX")
    printf '%s' "$content" >"$temporary"
    chmod "$mode" "$temporary"
    chown "$owner" "$temporary"
    mv --force --no-target-directory "$temporary" "$path"
    changed "wrote $path"
}

# wait_until SECONDS WHAT COMMAND…: repeats the command until it succeeds; fails with WHAT and its last words after SECONDS.
wait_until() {
    local limit=$1 what=$2 deadline said
    shift 2
    deadline=$((SECONDS + limit))
    until said=$("$@" 2>&1); do
        ((SECONDS < deadline)) || fail "waited ${limit} s in vain until $what: ${said:-no answer}"
        sleep 0.2
    done
}

# enabled_and_running UNIT [reload|restart]: enables and starts the unit; if this run changed anything, reloads or restarts it instead.
enabled_and_running() {
    local unit=$1 on_change=${2:-}
    if [[ $(systemctl is-enabled "$unit" 2>/dev/null) != enabled ]]; then
        systemctl enable --quiet "$unit"
        changed "enabled $unit"
    fi
    if ! systemctl is-active --quiet "$unit"; then
        systemctl reset-failed "$unit" 2>/dev/null || true
        systemctl start "$unit" || fail "$unit does not start: $(journalctl --unit "$unit" --lines 5 --output cat | tr '\n' ' ')"
        changed "started $unit"
    elif [[ -n $on_change ]] && ((changes > 0)); then
        systemctl "$on_change" "$unit" || fail "$unit does not $on_change: $(journalctl --unit "$unit" --lines 5 --output cat | tr '\n' ' ')"
    fi
}

# report LINE: the step's one closing line.
report() {
    if ((changes > 0)); then
        echo "$1"
    else
        echo "$1 (nothing to change)"
    fi
}
