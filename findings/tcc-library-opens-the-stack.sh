#!/usr/bin/env bash
# A library made by tcc makes the stacks of a program that loads it executable, in silence; Debian 13 refuses to load it
#
# Software: tcc 0.9.27 (Debian 12 and 13) with glibc 2.36 (Debian 12) and 2.41 (Debian 13); python3 is the program.
# Guess:    an executable stack is something to ask for. A library of one harmless function, not even called, changes nothing.
# Happens:  it has to be declined, by a program header (PT_GNU_STACK) that GNU ld writes and tcc does not. For a library without
#           it glibc 2.36 makes the stacks of all threads executable, of those that run already too, and says nothing. 2.41
#           refuses to load it by dlopen(); by LD_PRELOAD it does, and the stacks are executable as on 2.36.
# Matters:  one plug-in, an extension of PHP for example, takes from the whole process what keeps an overflow from running its
#           own code, and nobody hears of it before the update to Debian 13. Add the header to what tcc made, as mark.py does.
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
    fetch bookworm tcc=0.9.27+git20200814.62c30a4a-1 libc6=2.36-9+deb12u14 python3 &
    fetch trixie tcc=0.9.27+git20200814.62c30a4a-2 libc6=2.41-12+deb13u5 python3
    wait $!
    # Each release in namespaces of its own, with which its processes end.
    for release in bookworm trixie; do
        unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$lab/$release"
    done
    exit
fi
root=$1
export LC_ALL=C
ip link set lo up
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

echo 'int twice(int n) { return n + n; }' >"$root/tmp/twice.c"
cat >"$root/tmp/load.py" <<'END'
"""Loads a library while two more threads wait. Tells whether, and which memory can be written and executed then."""
import ctypes, sys, threading

never = threading.Event()
for _ in range(2):
    threading.Thread(target=never.wait, daemon=True).start()
try:
    ctypes.CDLL(sys.argv[1])
    loaded = "loaded"
except OSError as error:
    loaded = str(error).partition(": ")[2]
mappings = [line.split() for line in open("/proc/self/maps")]
# Only the first thread's stack has a name.
names = [rest[0] if rest else "unnamed" for _, mode, _, _, _, *rest in mappings if mode == "rwxp"]
print(f"{loaded}; rwx: {', '.join(names) or 'nothing'}")
END
cat >"$root/tmp/mark.py" <<'END'
"""Copies a library without PT_GNU_STACK, and adds it: readable and writable. All program headers move to the end of the file."""
import struct, sys

elf = bytearray(open(sys.argv[1], "rb").read())
(start,) = struct.unpack_from("<Q", elf, 32)
size, count = struct.unpack_from("<HH", elf, 54)
headers = [elf[at : at + size] for at in range(start, start + size * count, size)]
print(*(hex(struct.unpack_from("<I", header)[0]) for header in headers))
headers.append(struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16))
elf += bytes(-len(elf) % 8)
struct.pack_into("<Q", elf, 32, len(elf))
struct.pack_into("<H", elf, 56, len(headers))
open(sys.argv[2], "wb").write(elf + b"".join(headers))
END
python() { chroot "$root" python3 "$@"; }

case $root in
    */bookworm) happens='loaded; rwx: unnamed, unnamed, [stack]' ;;
    */trixie) happens='cannot enable executable stack as shared object requires: Invalid argument; rwx: nothing' ;;
esac
chroot "$root" tcc -v
python -c 'import platform; print(*platform.libc_ver(), "python", platform.python_version())'
chroot "$root" tcc -shared -nostdlib -o /tmp/twice.so /tmp/twice.c
seen 'program headers of twice.so: LOAD, LOAD, DYNAMIC' '0x1 0x1 0x2' "$(python /tmp/mark.py /tmp/twice.so /tmp/marked.so)"
seen 'dlopen, a library of Debian' 'loaded; rwx: nothing' "$(python /tmp/load.py libz.so.1)"
seen 'dlopen, twice.so' "$happens" "$(python /tmp/load.py /tmp/twice.so 2>&1)"
seen 'LD_PRELOAD, twice.so' 'loaded; rwx: unnamed, unnamed, [stack]' \
    "$(chroot "$root" sh -c 'LD_PRELOAD=/tmp/twice.so exec python3 /tmp/load.py libz.so.1' 2>&1)"
seen 'dlopen, twice.so with PT_GNU_STACK' 'loaded; rwx: nothing' "$(python /tmp/load.py /tmp/marked.so)"
