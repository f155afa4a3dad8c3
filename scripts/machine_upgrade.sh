# shellcheck shell=bash
# What scripts/upgrade has machines do: it sends them this file, and after it a call of one of the functions.

set -euo pipefail
export LC_ALL=C
GLUSTERD=/var/lib/glusterd BRICK_DISK=/session LAST_BACKUP=/var/lib/php-cluster/last-backup
BRICKS_GO_ON=/run/systemd/system/glusterd.service.d/php-cluster-bricks-go-on.conf
# The release that the machine had, for as long as it is on its way to another one; and the boot in which that one was installed.
BEGUN=/var/lib/php-cluster/release-before INSTALLED=/var/lib/php-cluster/release-installed
POLICY=/usr/sbin/policy-rc.d SOURCES=/var/lib/php-cluster/apt-sources.tar

fail() {
    echo "$(hostname): $1" >&2
    exit 1
}

# wait_until SECONDS WHAT COMMAND…
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "waited in vain until $what"
        sleep 0.2
    done
}

# facts: the machine's release; of a member of the pool its op-version, and whether its volumes' files have what
# GlusterFS 11 leaves out. One that is on its way to another release says which it had: /etc/os-release has the new one early.
facts() {
    if [[ -s $BEGUN ]]; then
        printf 'release %s\nbegun yes\n' "$(<"$BEGUN")"
        return
    fi
    # shellcheck source=/dev/null
    (source /etc/os-release && echo "release $VERSION_ID")
    [[ -d /session/brick ]] || return 0
    echo "op_version $(gluster --mode=script volume get all cluster.op-version | awk '$1 == "cluster.op-version" { print $2 }')"
    ! grep --quiet '^nfs\.disable=' "$GLUSTERD"/vols/*/info || echo "nfs yes"
}

admin() { echo "$1" | socat - UNIX-CONNECT:/run/haproxy/admin.sock; }

# On a balancer: it sends a node no more requests, and those that it has sent are answered. A download, or a page that stays open,
# gets as long as on a node that leaves for good (balancer/haproxy.sh): some sites always have one.
drain() { # NODE SECONDS
    local deadline=$((SECONDS + $2))
    admin "set server php/$1 state drain" >/dev/null
    until has_answered "$1"; do
        ((SECONDS < deadline)) || {
            echo "$(hostname) goes on after $2 s although $1 has requests under way"
            return 0
        }
        sleep 0.2
    done
}
has_answered() { admin "show stat" | awk -F , -v node="$1" '$2 == node { open += $3 + $5 } END { exit open > 0 }'; }

# On a balancer: a node gets requests as soon as it is well. One that is about to go must have gone.
undrain() { # NODE
    admin "set server php/$1 state ready" >/dev/null
}
await_down() { # NODE
    wait_until 20 "$1 is down" is_down "$1"
    undrain "$1"
}
is_down() { admin "show stat" | awk -F , -v node="$1" '$1 == "php" && $2 == node { down = $18 ~ /^DOWN/ } END { exit !down }'; }

# On both brick hosts at once: their daemons stop, and the bricks go on. GlusterFS 11 drops this line from a volume's file when it
# starts, and a peer of 10 that has it would be another's word against its own (findings/gluster-11-peer-rejected-at-its-second-start.sh).
pause_daemon() {
    mkdir -p "$(dirname "$BRICKS_GO_ON")"
    printf '[Service]\nKillMode=process\n' >"$BRICKS_GO_ON"
    systemctl daemon-reload
    systemctl stop glusterd
    sed --in-place '/^nfs\.disable=/d' "$GLUSTERD"/vols/*/info
    sync --file-system "$GLUSTERD"
}
resume_daemon() {
    systemctl start glusterd
    rm -f "$BRICKS_GO_ON"
    systemctl daemon-reload
    wait_until 60 "glusterd answers" daemon_answers
}
daemon_answers() { gluster --mode=script pool list >/dev/null 2>&1; }

# On a balancer that others do without: it takes leave, and what Gluster knows goes with the brick's disk to the machine that comes
# in its place (gluster/brick.sh): GlusterFS 11 that joins a pool of 10 as a stranger would get no volume. So does the note of the
# last backup, which nobody would miss any more once both balancers are new.
leave() {
    local kept=$BRICK_DISK/kept
    systemctl stop keepalived php-cluster-balancer haproxy
    # Bricks and the self-heal daemon end with it.
    systemctl stop glusterd
    wait_until 20 "its bricks have ended" no_bricks
    rm -rf "$kept.new" "$kept"
    mkdir --mode=700 "$kept.new"
    tar --create --file "$kept.new/glusterd.tar" --directory "$GLUSTERD" glusterd.info peers vols
    [[ ! -e $LAST_BACKUP ]] || cp "$LAST_BACKUP" "$kept.new/last-backup"
    sync --file-system "$kept.new"
    mv "$kept.new" "$kept"
    sync --file-system "$BRICK_DISK"
}
# come_back: a balancer is as it was before it took leave, or a part of it. Changes nothing on one that never did.
come_back() {
    rm -rf "$BRICK_DISK"/kept{,.new}
    resume_daemon
    systemctl start haproxy php-cluster-balancer keepalived
}
# serve_again: a PHP node that was to be upgraded answers again, unless half of it is another release.
serve_again() { [[ -s $BEGUN ]] || systemctl start nginx; }
no_bricks() { ! pgrep --exact 'glusterfsd|glusterfs' >/dev/null; }

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
}

# updates: how many packages apt would upgrade, how many of them for security, whether a program runs that an earlier upgrade has
# replaced on the disk, and which boot this is: a machine of a lab has the box's kernel, and its number.
updates() {
    apt_get update >/dev/null
    apt_get --simulate upgrade \
        | awk '/^Inst / { all++; if (/Debian-Security:/) security++ } END { print "packages", all + 0; print "security", security + 0 }'
    needs_restart && echo "restart 1" || echo "restart 0"
    boot
}
needs_restart() {
    [[ -e /run/reboot-required ]] || grep --quiet --no-messages 'r-xp .* /usr/.* (deleted)$' /proc/[0-9]*/maps
}
boot() { echo "boot $(</proc/sys/kernel/random/boot_id)-$(cut --delimiter ' ' --fields 22 /proc/1/stat)"; }

# install_updates: the packages are upgraded, and the machine boots if a program of before still runs; its last line says so.
install_updates() {
    apt_get upgrade
    if needs_restart; then
        systemctl --no-block reboot
        echo reboots
    fi
}

# known SUITE: the files in which Debian's archive is named for this suite; apt knows them once it has fetched its lists.
known() {
    # shellcheck disable=SC2016  # apt's own variables
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(SOURCESENTRY)' 'Created-By: Packages' \
        | awk -v suite="$1" '$1 == "Debian" && ($2 == suite || index($2, suite "-") == 1) { sub(/:[0-9]+$/, "", $3); print $3 }' | sort --unique
}

# rename_suite FROM TO FILE…: in both forms that apt reads, a line an entry and fields below each other, a suite is a word of its own.
rename_suite() {
    # Two of them share the blank between them, so again until there is none.
    local word="s,(^|[[:space:]])$1((-[a-z-]+)?(/[a-z]+)?([[:space:]]|\$)),\\1$2\\2,"
    sed --in-place --regexp-extended "/^[[:space:]]*#/b; :again; $word; t again" "${@:3}"
}

restore_sources() { tar --extract --file "$SOURCES" --directory /; }

# name_release FROM TO: apt asks Debian's archive for TO, and would take away nothing that serves here; if not, all is as before.
name_release() {
    local files lost
    [[ -z $(dpkg --audit) ]] || fail "dpkg has packages that are half installed: dpkg --audit names them"
    # What the upgrade of a machine with the packages of any role takes, with its downloads.
    (($(df --output=avail --block-size=1M / | tail --lines=1) > 2048)) || fail "its root disk has less than 2 GiB free"
    apt_get update >/dev/null
    mapfile -t files < <(known "$1")
    ((${#files[@]} > 0)) || fail "no file below /etc/apt names Debian's archive for $1"
    tar --create --file "$SOURCES" --absolute-names "${files[@]}"
    rename_suite "$1" "$2" "${files[@]}"
    if ! apt_get update >/dev/null || [[ -z $(known "$2") || -n $(known "$1") ]]; then
        restore_sources
        fail "apt finds no Debian $2 where $1 was: ${files[*]} is as before"
    fi
    lost=$(apt_get --simulate full-upgrade | awk '/^Remv (haproxy|keepalived|glusterfs-server|glusterfs-client|nginx|php-fpm|php-cli) / { print $2 }')
    if [[ -n $lost ]]; then
        restore_sources
        apt_get update >/dev/null
        fail "apt would remove ${lost//$'\n'/, }: is a package held (apt-mark showhold), or from another archive?"
    fi
}

# to_release NUMBER FROM TO: apt brings the machine, of release NUMBER, from one suite to the other, and it boots; its last line says
# so. Configuration files stay as they are, and what runs goes on until the boot. Goes on where another run has ended.
to_release() {
    exec 9>/run/php-cluster-release.lock
    # The connection of another run may have been cut off: what it has begun here goes on.
    flock --timeout 1500 9 || fail "another run has been upgrading it for 25 min"
    if [[ -s $INSTALLED && $(<"$INSTALLED") != "$(boot)" ]]; then return 0; fi
    if [[ ! -s $BEGUN ]]; then
        name_release "$2" "$3"
        echo "$1" >"$BEGUN"
    fi
    # Of a user's own, who starts no daemons by packages either.
    [[ -e $POLICY ]] || install --mode=755 /dev/stdin "$POLICY" <<<"#!/bin/sh
# php-cluster: until this machine has booted with another release, its packages start nothing.
[ ! -e $BEGUN ] || exit 101"
    {
        dpkg --configure --pending --force-confdef --force-confold
        NEEDRESTART_SUSPEND=yes apt_get -o Dpkg::Options::=--force-confdef full-upgrade
    } >>/var/log/php-cluster-upgrade.log 2>&1 </dev/null || fail "apt did not finish: /var/log/php-cluster-upgrade.log"
    # Requests come when its steps have run, and not when it boots.
    ! systemctl is-enabled --quiet nginx 2>/dev/null || systemctl disable --quiet nginx
    boot >"$INSTALLED"
    systemctl --no-block reboot
    echo reboots
}

# arrived: its steps have run; it is a machine of the new release.
arrived() {
    ! grep --quiet --no-messages php-cluster "$POLICY" || rm "$POLICY"
    rm -f "$BEGUN" "$INSTALLED" "$SOURCES"
}

raise_op_version() { # NUMBER
    gluster --mode=script volume set all cluster.op-version "$1" >/dev/null
}
