# shellcheck shell=bash
# Says what one machine is like, as lines "fact value". Runs there, as root; changes nothing but what the kernel remembers of
# its neighbours.
#
# Input: SERVES (yes: a PHP node), BRICK (what is to hold a brick, or empty), FLOATING_IP, FLOATING_IP6 (to be looked for, or
# empty), PACKAGES, PORTS (that must be free), PEERS ("NAME ADDRESS PORT", a line each: where packets must get to).
#
# What a fact has to be is judged by components/substrates/existing/judgement.py.

# First of all: whoever asks compares it with his own.
echo "clock $(date +%s.%N)"
set -uo pipefail
export LC_ALL=C
MARK=/etc/php-cluster/owner

(
    # shellcheck source=/dev/null
    . /etc/os-release
    echo "system ${ID-} ${VERSION_ID-} ${PRETTY_NAME-}"
)
echo "architecture $(dpkg --print-architecture 2>/dev/null || uname -m)"
echo "init $([[ -d /run/systemd/system ]] && echo systemd || echo other)"
[[ ! -f $MARK ]] || echo "owner $(sed --quiet 's/^OWNER=//p' "$MARK") $(sed --quiet 's/^STACK=//p' "$MARK")"
[[ ! -e /usr/lib/php-cluster/leave ]] || echo "leave yes"
ip -oneline -4 address show | awk '{ print "address", $4, $2 }'
ip -oneline -6 address show | awk '{ print "address6", $4, $2 }'
df --output=avail --block-size=1M / | awk 'NR == 2 { print "free_mib", $1 }'
if [[ $SERVES == yes ]]; then
    # A module is loaded when something mounts.
    if [[ -c /dev/fuse ]] || modprobe --dry-run --quiet fuse 2>/dev/null; then echo "fuse yes"; else echo "fuse no"; fi
fi

# kept_below FOLDER: what an earlier stack has left there.
kept_below() {
    if [[ -f $1/kept/of ]]; then
        echo "brick_kept $(<"$1/kept/of")"
        ! grep --quiet --line-regexp server.ssl=on \
            <<<"$(tar --extract --to-stdout --wildcards --file "$1/kept/glusterd.tar" 'vols/*/info')" || echo "brick_kept_tls yes"
    elif [[ -d $1/brick ]]; then
        echo "brick_unknown $1/brick"
    fi
}

look_at_disk() {
    local type parts
    parts=$(lsblk --noheadings --list --output NAME "$BRICK" | wc --lines)
    type=$(blkid --probe --output value --match-tag TYPE "$BRICK" 2>/dev/null)
    echo "brick disk $(($(blockdev --getsize64 "$BRICK") / 1048576)) $( ((parts == 1)) && echo "${type:-empty}" || echo partitioned)"
    [[ $type == xfs ]] || return 0
    # Mounted where nobody else sees it, and not even its journal is replayed.
    # shellcheck disable=SC2016  # for the shell in there
    BRICK=$BRICK unshare --mount bash -c "$(declare -f kept_below)"'
        folder=$(mktemp --directory) && trap "umount \"\$folder\" 2>/dev/null; rmdir \"\$folder\"" EXIT
        if mount -o ro,norecovery,nouuid "$BRICK" "$folder" 2>/dev/null; then
            kept_below "$folder"
            others=$(find "$folder" -mindepth 1 -maxdepth 1 ! -name brick ! -name kept ! -name "kept.new" -printf "%f " -quit)
            [[ -z $others ]] || echo "brick_foreign $others"
        else
            echo "brick_foreign a file system that cannot be mounted"
        fi'
}

if [[ -n $BRICK ]]; then
    if [[ -b $BRICK ]]; then
        look_at_disk
    elif [[ ! -d $BRICK ]]; then
        echo "brick missing"
    elif [[ $(stat --format=%d "$BRICK") == "$(stat --format=%d /)" ]]; then
        echo "brick on_root"
    else
        df --output=avail --block-size=1M "$BRICK" | awk 'NR == 2 { print "brick folder", $1 }'
        kept_below "$BRICK"
    fi
fi

for port in $PORTS; do
    listener=$(ss --no-header --listening --tcp --numeric --processes "sport = :$port" | sed --quiet 's/.*users:(("\([^"]*\)".*/\1/p' | sort --unique | paste --serial --delimiters ' ')
    [[ -z $listener ]] || echo "listens $port $listener"
done
! pgrep --exact keepalived >/dev/null || echo "runs keepalived"
for file in /etc/keepalived/keepalived.conf /etc/haproxy/haproxy.cfg; do
    [[ -f $file ]] || continue
    # Debian's own file is nobody's work.
    ! grep --quiet " $file $(md5sum <"$file" | cut --delimiter ' ' --fields 1)" \
        <<<"$(dpkg-query --show --showformat='${Conffiles}\n' "$(basename "$(dirname "$file")")" 2>/dev/null)" || continue
    echo "foreign $file"
done
for folder in /srv/site /session /media/sessions /media/files; do
    [[ -z $(ls --almost-all "$folder" 2>/dev/null) ]] || echo "foreign $folder"
done
for folder in /var/lib/glusterd/vols /var/lib/glusterd/peers; do
    [[ -z $(ls --almost-all "$folder" 2>/dev/null) ]] || echo "foreign $folder"
done

# look_for FACT ADDRESS: who answers when the network is asked for a floating address: a packet to it makes the kernel ask.
look_for() {
    local neighbour='' _
    if [[ -n $(ip address show to "$2") ]]; then
        echo "$1 here"
        return
    fi
    # Not what the machine remembers: the one that had it may have left it a moment ago.
    ip neighbour flush to "$2" 2>/dev/null
    for _ in {1..12}; do
        echo >"/dev/udp/$2/9" 2>/dev/null || true
        neighbour=$(ip neighbour show to "$2" | sed --quiet 's/.* lladdr \([0-9a-f:]*\) \(REACHABLE\|DELAY\|PROBE\|PERMANENT\).*/\1/p')
        [[ -z $neighbour ]] || break
        sleep 0.1
    done 2>/dev/null
    [[ -z $neighbour ]] || echo "$1 taken $neighbour"
}
if [[ -n $FLOATING_IP ]]; then
    look_for floating_ip "$FLOATING_IP"
fi
if [[ -n $FLOATING_IP6 ]]; then
    # Where packets to it go: of those for a router, the route says so.
    ip -6 route get "$FLOATING_IP6" 2>/dev/null | sed --quiet '/ via /d; s/.* dev \([^ ]*\) .*/floating_ip6_link \1/p'
    look_for floating_ip6 "$FLOATING_IP6"
fi

# A port where nobody listens says so at once; a firewall says nothing, or that the host is out of reach.
reach() {
    local said
    said=$(timeout 3 bash -c "exec 3<>/dev/tcp/$2/$3" 2>&1) || [[ $said == *"Connection refused"* ]] || echo "cut_off $1 $3"
}
while read -r name address port; do
    [[ -z $name ]] || reach "$name" "$address" "$port" &
done <<<"$PEERS"

own_updates

# Whether packages can be had matters where some are missing.
read -r -a packages <<<"$PACKAGES"
installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null) || true
missing=0
for package in "${packages[@]}"; do
    grep --quiet --line-regexp --fixed-strings "$package installed" <<<"$installed" || missing=$((missing + 1))
done
echo "packages_missing $missing"
if ((missing > 0)); then
    # What an update would ask for first; a machine that has just been installed knows no more than that.
    source=$(apt-get --print-uris update 2>/dev/null | sed --quiet "s/^'\([^']*\/InRelease\)'.*/\1/p" | head -1)
    release=$(mktemp)
    if [[ -z $source ]]; then
        echo "packages unreachable (there is no package source)"
    elif ! timeout 20 /usr/lib/apt/apt-helper download-file "$source" "$release" >/dev/null 2>&1; then
        echo "packages unreachable ($source)"
    fi
    rm -f "$release"
fi
wait
echo "end"
