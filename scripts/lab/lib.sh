# shellcheck shell=bash
# Common ground of the lab: names, places, and how a machine is found. Every script of this folder sources it.
#
# A lab is one stack's machines on this box. Its id, six hexadecimal digits, is in the name of everything it makes:
# bridge `pc-ID`, interfaces `vb-ID-NAME`, machines and cgroups `ID-NAME`, nft table `php-cluster-ID`, folder `labs/ID`.

set -euo pipefail
export LC_ALL=C
# Whatever the caller has: a machine's folders are its own users' too, from its root folder on.
umask 022
# Root by `su` has the user's own, without them.
export PATH=$PATH:/usr/sbin:/sbin

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROJECT=$(dirname "$(dirname "$SCRIPTS")")
BOX_STATE=/var/lib/php-cluster
IMAGES=$BOX_STATE/images
LABS=$BOX_STATE/labs
export SCRIPTS PROJECT BOX_STATE IMAGES LABS

# What components/substrates/local/machines.py and scripts/bench pass; kept when a script asks sudo for more rights.
LAB_VARIABLES=LAB,STACK,CHECKOUT,NETWORK,GATEWAY,NAME,ADDRESS,PREFIX,IMAGE,BRICK_GIB,AUTHORIZED_KEY,SUITE,PACKAGES,GRACE_SECONDS
LAB_VARIABLES+=,PHP_CLUSTER_LAB_DISKS,GATEWAY6,ADDRESS6

fail() {
    echo "$1" >&2
    exit 1
}

# as_root SCRIPT ARGUMENT…: runs the script again as root unless it is already.
as_root() {
    ((EUID == 0)) && return
    sudo --non-interactive true 2>/dev/null \
        || fail "local machines need root: run as root, or let sudo work without a password (sudo -v just before is enough)"
    exec sudo --non-interactive --preserve-env="$LAB_VARIABLES" "$@"
}

# need VARIABLE…: fails unless each is set.
need() {
    local name
    for name in "$@"; do
        [[ -n ${!name-} ]] || fail "$(basename "$0") needs the variable $name"
    done
}

# wait_until SECONDS COMMAND…: repeats the command until it succeeds, or fails after that time.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# use_machine NAME: sets the variables of one machine of $LAB.
use_machine() {
    NAME=$1
    MACHINE=$LAB-$NAME
    FOLDER=$LABS/$LAB/machines/$NAME
    LINK=vb-$MACHINE
    export NAME MACHINE FOLDER LINK
}

# record_value LAB KEY: one line of a lab's record.
record_value() {
    sed --quiet "s/^$2=//p" "$LABS/$1/record" 2>/dev/null
}

# find_lab STACK: sets LAB to this checkout's lab of that stack.
find_lab() {
    local lab identity=""
    [[ -f $PROJECT/.cluster/identity ]] && identity=$(<"$PROJECT/.cluster/identity")
    for lab in $(all_labs); do
        if [[ $(record_value "$lab" STACK) == "$1" && $(record_value "$lab" CHECKOUT) == "$identity" ]]; then
            LAB=$lab
            export LAB
            return
        fi
    done
    fail "there are no local machines of a stack named $1; scripts/lab/list shows what there is"
}

# all_labs: the ids of all labs with a folder on this box.
all_labs() {
    [[ -d $LABS ]] && find "$LABS" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort
}

# machines_of LAB: the names of its machines.
machines_of() {
    [[ -d $LABS/$1/machines ]] && find "$LABS/$1/machines" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort --version-sort
}

# operator_arguments "$@": reads [--stack NAME] MACHINE [MORE…] for the commands that people type.
# Sets LAB, the machine's variables, and REST.
operator_arguments() {
    local stack=${STACK:-dev}
    if [[ ${1-} == --stack || ${1-} == -s ]]; then
        stack=${2:?a name must follow --stack}
        shift 2
    fi
    [[ -n ${1-} && $1 != -* ]] || fail "usage: $(basename "$0") [--stack NAME] MACHINE"
    find_lab "$stack"
    [[ -d $LABS/$LAB/machines/$1 ]] || fail "stack $stack has no machine $1, only: $(machines_of "$LAB" | tr '\n' ' ')"
    use_machine "$1"
    shift
    # shellcheck disable=SC2034  # read by the caller
    REST=("$@")
}
