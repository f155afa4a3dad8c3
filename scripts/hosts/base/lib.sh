# shellcheck shell=bash
# What the scripts of this folder share, read before each of them after steps/lib.sh.

# apt_get WORD…: apt-get, as soon as no other one is at work, as Debian's own updates are after a boot; says which one it waits
# for. apt's own time limit is not for the lists and downloads, and forgets who holds the lock.
APT_SECONDS=240
apt_get() {
    local said locked told='' deadline=$((SECONDS + APT_SECONDS))
    until said=$(apt-get --yes --quiet --quiet -o DPkg::Lock::Timeout=0 "$@" 2>&1); do
        locked=$(sed --quiet '/^E: Could not get lock / { s/^E: //p; q }' <<<"$said")
        if [[ -z $locked ]]; then
            tail --lines 5 <<<"$said" >&2
            return 1
        fi
        ((SECONDS < deadline)) || fail "waited $APT_SECONDS s in vain until no other apt is at work: $locked"
        [[ $locked == "$told" ]] || echo "waits for another apt: $locked"
        told=$locked
        sleep 1
    done
}
