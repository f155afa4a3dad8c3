#!/usr/bin/env bash
# gluster --xml exits with 0 though the command failed
#
# Software: GlusterFS 10.3 (Debian 12) and 11.1 (Debian 13), alike.
# Guess:    --xml changes what is printed, for programs to read; the exit status tells success or failure as without it.
# Happens:  create, start, set and info exit with 1 when they fail and, with --xml, with 0: the failure is in
#           <opRet>-1</opRet> alone (status, stop, delete and peer probe were seen to do the same). "volume get --xml" exits
#           with 1 all the same, "heal info" with 254 (10.3) or 244 (11.1); without a glusterd there is 1 and no XML at all.
# Matters:  --xml is what a script takes to be robust, and "gluster --xml volume create … && gluster --xml volume start …" is
#           a success with no volume. Look at both: the exit status, and opRet wherever there is a document.
set -euo pipefail

fetch() { # RELEASE NAME=VERSION...: these packages and all they need, unpacked in $lab/RELEASE
    local release=$1 root=$lab/$1 codename keyring own package
    shift
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{dev,proc,sys,etc,srv,tmp,run} "$root.apt"/{lists,archives}/partial
    chmod 1777 "$root/tmp"
    ln -s usr/{bin,sbin,lib,lib64} "$root"
    printf '%s:x:%s::/:/bin/sh\n' root 0:0 www-data 33:33 nobody 65534:65534 >"$root/etc/passwd"
    printf '%s:x:%s:\n' root 0 www-data 33 nogroup 65534 >"$root/etc/group"
    # The box's own mirror and keyring, with the release's name in place of the box's.
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    keyring=$(grep -rho '/[^] ]*debian-archive[^] ]*' /etc/apt --include='*.list' --include='*.sources' | head -n 1 || true)
    apt-get indextargets --format "deb ${keyring:+[signed-by=$keyring] }\$(REPO_URI) \$(RELEASE) main" \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' \
        | sed "s/ $codename/ $release/" >"$root.apt/sources.list"
    : >"$root.apt/status"
    own=(-qq -o Acquire::Languages=none -o "Dir::Etc::SourceList=$root.apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o APT::Sandbox::User=root -o "Dir::State::status=$root.apt/status" -o "Dir::State::lists=$root.apt/lists"
        -o "Dir::Cache=$root.apt")
    apt-get "${own[@]}" update
    apt-get "${own[@]}" --yes --no-install-recommends --download-only install dash "$@"
    for package in "$root.apt"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$root"
    done
}
await() { # COMMAND...: until it succeeds, at most thirty seconds
    local end=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then
            echo "not within thirty seconds: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}
seen() { # WHAT WANTED CAME-OUT: told, and the end if it is another than when this was written
    printf '  %-64s %s\n' "$1" "$3"
    if [ "$2" != "$3" ]; then
        echo "changed: it was '$2'" >&2
        exit 1
    fi
}
if [ $# -eq 0 ]; then
    lab=$(mktemp -d)
    trap 'wait && rm -rf "$lab"' EXIT
    fetch bookworm glusterfs-server=10.3-5 &
    fetch trixie glusterfs-server=11.1-6
    wait $!
    # Each release in namespaces of its own, with which its processes end.
    for release in bookworm trixie; do
        unshare --uts --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab/$release"
    done
    exit
fi
root=$1
export LC_ALL=C
ip link set lo up
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

hostname brick1
echo '127.0.0.1 localhost brick1' >"$root/etc/hosts"
mkdir -p "$root"/var/{lib/glusterd,log/glusterfs,run/gluster}
status() { # COMMAND...: what gluster exits with
    local status=0
    chroot "$root" gluster --mode=script "$@" </dev/null >"$root/tmp/answer" 2>&1 || status=$?
    echo "$status"
}
both() { # WITHOUT-XML WITH-XML COMMAND...: the exit status without --xml; with it, and what the document says
    seen "${*:3}" "$1" "$(status "${@:3}")"
    seen "${*:3} --xml" "$2" "$(status "${@:3}" --xml)$(grep -o '<opRet>.*</opRet>' "$root/tmp/answer" | sed 's/^/, /')"
}

chroot "$root" glusterd --version | sed -n 1p
both 1 1 volume info
chroot "$root" glusterd
await chroot "$root" gluster pool list
echo '  (glusterd runs)'
both 0 '0, <opRet>0</opRet>' volume list
both 1 '0, <opRet>-1</opRet>' volume create sessions elsewhere:/brick
both 1 '0, <opRet>-1</opRet>' volume start sessions
both 1 '0, <opRet>-1</opRet>' volume set sessions network.ping-timeout 5
both 1 '0, <opRet>-1</opRet>' volume info sessions
both 1 '1, <opRet>-1</opRet>' volume get sessions all
case $root in
    */bookworm) heal=254 ;;
    */trixie) heal=244 ;;
esac
both "$heal" "$heal, <opRet>-1</opRet>" volume heal sessions info
