# shellcheck shell=bash
# What scripts of several folders share, read before each of them (components/steps/remote.py). What those of one folder share
# is in the lib.sh there.
#
# A step's variables arrive on standard input of `bash -s`, so nothing they carry is seen in a command line; the step stays
# on the machine as /var/lib/php-cluster/steps/STEP, for root alone. Run that file by hand to do it again. With CHECK=yes it
# only looks: it ends with status 3 at the first difference and names it, which is how drift is seen (components/steps/drift.py).
#
# Each script observes first, says `changing` before each change, and ends with `report`: a second run says "nothing to
# change".

set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
# Whatever root has here: daemons with users of their own enter the folders that steps make.
umask 022
changes=0
DIFFERS=3 # the status of a check that found a difference

checking() { [[ ${CHECK-} == yes ]]; }

# An engine that was killed may have left its last step running: the next one waits for it. The lock lies where only root can
# open it: who can open a file can hold it locked.
LOCKS=/run/php-cluster-steps
# shellcheck disable=SC2174  # /run is there
mkdir --parents --mode=700 "$LOCKS"
exec 9>"$LOCKS/${STEP:?}"
if checking; then
    flock --nonblock 9 || {
        echo "it is still running since an earlier update"
        exit "$DIFFERS"
    }
else
    flock --wait 300 9 || {
        echo "step $STEP is still running on $(hostname) since an earlier update" >&2
        exit 1
    }
fi

# There while a step is changing something: a run that was interrupted has written a file, but not told its daemon.
UNFINISHED=/var/lib/php-cluster/unfinished-$STEP

# changing WHAT: notes a difference that this run is about to remove; a check ends here.
changing() {
    if checking; then
        echo "$1"
        exit "$DIFFERS"
    fi
    changes=$((changes + 1))
    mkdir -p "$(dirname "$UNFINISHED")"
    : >"$UNFINISHED"
    echo "$1"
}
unchanged() { ((changes == 0)); }
if [[ -e $UNFINISHED ]]; then
    changing "goes on where an interrupted run ended"
    systemctl daemon-reload
fi

# fail MESSAGE: ends the step with one plain sentence.
fail() {
    echo "$(hostname): $1" >&2
    exit 1
}

# take VARIABLE FILE: sets the variable to the file's content, to its last byte; fails when there is no such file.
take() { { IFS= read -r -d '' "$1" || true; } <"$2"; }

# holds PATH CONTENT: whether the file has this content already. No process is started for it: each look at a machine asks
# this of every file.
holds() {
    local found=
    [[ -f $1 ]] || return 1
    take found "$1"
    [[ $found == "$2" ]]
}

# put_file PATH MODE CONTENT [OWNER:GROUP]: writes the file if content, mode or owner differ. Fails, and leaves the old file, when
# not all of it can be written.
put_file() {
    local path=$1 mode=$2 content=$3 owner=${4:-root:root} said
    if [[ -f $path && ! -L $path ]] && holds "$path" "$content" \
        && [[ $(stat --format='%a %U:%G' "$path") == "${mode#0} $owner" ]]; then
        return 0
    fi
    changing "writes $path"
    said=$(replace_file "$path" "$mode" "$content" "$owner" 2>&1) || fail "cannot write $path: $said"
}

# replace_file PATH MODE CONTENT OWNER:GROUP: puts a new file in the place of the old one, all of it or nothing. Each part says
# whether it was done, since this runs where `set -e` does not count.
replace_file() {
    local path=$1 mode=$2 content=$3 owner=$4 temporary
    mkdir -p "$(dirname "$path")" && temporary=$(mktemp "$(dirname "$path")/.$(basename "$path").XXXXXX") || return
    printf '%s' "$content" >"$temporary" && chmod "$mode" "$temporary" && chown "$owner" "$temporary" \
        && mv --force --no-target-directory "$temporary" "$path" && return
    rm -f "$temporary"
    return 1
}

# put_unit NAME CONTENT [VARIABLE…]: writes a unit of systemd, or a drop-in, with the variables' values in place of their names
# between @ and @.
put_unit() {
    local content=$2 variable
    for variable in "${@:3}"; do
        content=${content//@$variable@/"${!variable}"}
    done
    put_file "/etc/systemd/system/$1" 0644 "$content"
}

# wait_until SECONDS WHAT COMMAND…: repeats the command until it succeeds; fails with WHAT and its last words after SECONDS.
wait_until() {
    local limit=$1 what=$2 deadline said
    shift 2
    deadline=$((SECONDS + limit))
    until said=$("$@" 2>&1); do
        if checking; then changing "waits until $what: ${said:-no answer}"; fi
        ((SECONDS < deadline)) || fail "waited ${limit} s in vain until $what: ${said:-no answer}"
        sleep 0.2
    done
}

# reread_if_changed UNIT…: makes systemd read its files again if one of the units has changed on disk. To read all of them
# takes 0.1 s, and a machine has a dozen steps.
reread_if_changed() {
    checking || [[ $(systemctl show --property=NeedDaemonReload --value "$@") != *yes* ]] || systemctl daemon-reload
}

# is_enabled UNIT: whether systemd starts the unit at every boot: a target wants it, and it is not masked. For units like
# these systemctl says the same, but a look at a machine asks it of many, and each call costs more than all the rest of a step.
is_enabled() {
    local unit=$1 wanted
    [[ $unit == *.@(service|timer) ]] || unit+=.service
    wanted=(/etc/systemd/system/*.wants/"$unit")
    [[ -L ${wanted[0]-} && ! /etc/systemd/system/$unit -ef /dev/null ]]
}

# enabled UNIT: has the unit started at every boot. Its start now does not need what is said to the next boot, so nothing is
# read again for it.
enabled() {
    if ! is_enabled "$1"; then
        changing "enables $1"
        SYSTEMCTL_SKIP_SYSV=1 systemctl enable --quiet --no-reload "$1"
    fi
}

# enabled_and_running UNIT [reload|restart]: enables and starts the unit; if this run changed anything, reloads or restarts it
# instead.
enabled_and_running() {
    local unit=$1 on_change=${2:-} state
    state=$(systemctl show --property=NeedDaemonReload,ActiveState "$unit")
    if ! checking && [[ $state == *NeedDaemonReload=yes* ]]; then
        systemctl daemon-reload
        state=$(systemctl show --property=ActiveState "$unit")
    fi
    enabled "$unit"
    if [[ ! $state =~ ActiveState=(active|reloading) ]]; then
        changing "starts $unit"
        systemctl reset-failed "$unit" 2>/dev/null || true
        systemctl start "$unit" || fail "$unit does not start: $(journalctl --unit "$unit" --lines 5 --output cat | tr '\n' ' ')"
    elif [[ -n $on_change ]] && ((changes > 0)); then
        systemctl "$on_change" "$unit" || fail "$unit does not $on_change: $(journalctl --unit "$unit" --lines 5 --output cat | tr '\n' ' ')"
    fi
}

# forget_steps PATTERN…: steps of these names have nothing to say of this machine any more; a look at it does them no more.
forget_steps() {
    local pattern
    checking && return
    for pattern in "$@"; do
        # shellcheck disable=SC2086  # a pattern
        rm -f /var/lib/php-cluster/steps/$pattern
    done
}

# report LINE: the step's one closing line.
report() {
    rm -f "$UNFINISHED"
    if ((changes > 0)); then
        echo "$1"
    else
        echo "$1 (nothing to change)"
    fi
}
