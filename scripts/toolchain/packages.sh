# shellcheck shell=bash
# System packages of this box. Needs lib.sh.

# What packages ask before they start a daemon. While ours is there, nothing is started: the box is not one of the cluster's
# machines.
POLICY=/usr/sbin/policy-rc.d
APT_SECONDS=300

missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# install_packages PACKAGE…: for a process of its own, as `stage` makes it. Whatever ends it, what packages ask is as before.
install_packages() {
    local process=$BASHPID
    # Whatever the caller has, and sudo adds to its own: packages' scripts make files of the whole system.
    umask 022
    # apt-get aborts a download, and first ends what it has begun to unpack.
    trap 'exit 130' INT TERM HUP
    trap take_back_policy EXIT
    apt_get update
    if [[ ! -e $POLICY ]]; then
        printf '#!/bin/sh\n# php-cluster, process %s\nexit 101\n' "$process" | as_root install --mode=755 /dev/stdin "$POLICY"
    fi
    apt_get install --no-install-recommends "$@"
}

# take_back_policy: removes what a set-up has put there, this process or one that was killed; what others put there stays.
take_back_policy() {
    local process
    process=$(sed --quiet 's/^# php-cluster, process //p' "$POLICY" 2>/dev/null) || return 0
    [[ -n $process ]] || return 0
    # Its number may be another program's by now, and one that nobody has collected has no words.
    if [[ $process != "$BASHPID" ]] && grep --quiet --text toolchain/ "/proc/$process/cmdline" 2>/dev/null; then return; fi
    as_root rm -f "$POLICY"
}

# apt_get WORD…: apt-get, as soon as no other one is at work; says which one it waits for. apt's own time limit is not for the
# lists and downloads, and forgets who holds the lock.
apt_get() {
    local said=$LOCAL/log/apt-get.log locked deadline=$((SECONDS + APT_SECONDS))
    until as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get --yes -o DPkg::Lock::Timeout=0 "$@" 2>&1 | tee --ignore-interrupts "$said"; do
        locked=$(sed --quiet '/^E: Could not get lock / { s/^E: //p; q }' "$said")
        [[ -n $locked ]] || return 1
        ((SECONDS < deadline)) || fail "waited $APT_SECONDS s in vain until no other apt is at work: $locked"
        echo "waits for another apt: $locked"
        sleep 1
    done
}
