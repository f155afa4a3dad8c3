# shellcheck shell=bash
# What one machine knows of itself and of the cluster, as lines "name value"; scripts/status asks it over SSH.
# First what costs nothing, then what may wait for a dead member: whoever asks may stop listening at any time.
#
# Input: FLOATING_IP, FLOATING_IP6, BRIEF (yes: not what may wait for others), and holds_floating_ip.sh and own_updates.sh before it. Changes nothing but a file in
# /run with the number of updates.

echo "clock $(date +%s.%N)"
echo "booted $(date --date "@$(($(date +%s) - $(cut --delimiter . --fields 1 /proc/uptime)))" '+%Y-%m-%d %H:%M')"
for unit in haproxy keepalived glusterd nginx php-cluster-balancer php-cluster-elastic-ip php-cluster-arbiter php-cluster-sessions php-cluster-files \
    php-cluster-session-log; do
    for loaded in $(systemctl list-units --all --plain --no-legend --state=loaded "$unit.service" | awk '{ print $1 }'); do
        [[ $(systemctl is-enabled "$loaded" 2>/dev/null) != enabled ]] || echo "daemon ${loaded%.service} $(systemctl is-active "$loaded")"
    done
done
if [[ -x /usr/lib/php-cluster/serve-php ]]; then
    /usr/lib/php-cluster/serve-php is-current && echo "daemon php-fpm active" || echo "daemon php-fpm inactive"
fi
if [[ -d /etc/keepalived ]]; then
    if holds_floating_ip; then
        since=$(journalctl --unit keepalived --output short-iso --no-pager --quiet --grep 'Entering MASTER STATE' --lines 1 | awk '{ print $1 }')
        echo "holds_floating_ip ${since:-?}"
    fi
    ! holds_floating_ip6 || echo "holds_floating_ip6"
    [[ ! -e /run/php-cluster/may-hold ]] || echo "may_hold $(</run/php-cluster/may-hold)"
    [[ ! -s /etc/haproxy/maintenance.map ]] || echo "maintenance $(date --reference=/etc/haproxy/maintenance.map '+%Y-%m-%d %H:%M')"
    [[ ! -s /var/lib/php-cluster/last-backup ]] || echo "backup $(</var/lib/php-cluster/last-backup)"
    if [[ -S /run/haproxy/admin.sock ]]; then
        admin() { echo "$1" | timeout 1 socat - UNIX-CONNECT:/run/haproxy/admin.sock; }
        statistics=$(admin "show stat")
        awk -F , '$1 == "php" && $2 != "BACKEND" { print "balances", $2, $18 }' <<<"$statistics"
        # Connections are closed before or after who asks is known, as the PROXY protocol has it.
        limited=$(awk -F , 'NR == 1 { for (at = 1; at <= NF; at++) of[$at] = at }
            $2 == "FRONTEND" && /^site,/ { print $of["dreq"], $of["dcon"] + $of["dses"] }' <<<"$statistics")
        [[ -z $limited ]] || echo "limited $limited $(date --date "-$(admin "show info" | sed --quiet 's/^Uptime_sec: //p') seconds" '+%Y-%m-%d %H:%M')"
        # Of the certificate that is served, which need not be the file's.
        served=$(admin "show ssl cert $(admin "show ssl cert" | grep --max-count=1 '^/')")
        of_served() { sed --quiet "s/^$1: //p" <<<"$served"; }
        if [[ -n $(of_served notAfter) ]]; then
            ends=$(date --date "$(of_served notAfter)" +%s)
            echo "certificate_ends $ends $((ends - $(date --date "$(of_served notBefore)" +%s)))"
            [[ ! -d /etc/php-cluster/acme ]] || echo "certificate_of_ca $([[ $(of_served Subject) == "$(of_served Issuer)" ]] && echo awaited || echo issued)"
        fi
    fi
    [[ ! -s /var/lib/php-cluster/acme/failed ]] || echo "certificate_failed $(</var/lib/php-cluster/acme/failed)"
fi
for place in / /session; do
    [[ $place == / ]] || mountpoint --quiet "$place" || continue
    echo "used $place $(df --output=pcent,ipcent "$place" | tail --lines=1)"
done
[[ $BRIEF != yes ]] || exit 0
own_updates
# Updates that this machine knows of. To count them takes a processor seconds, so that is done on the side, once for each list that
# apt has fetched and each installation; the next look has the number.
counted=/run/php-cluster-updates
if [[ $counted -nt /var/lib/dpkg/status && $counted -nt /var/lib/apt/lists/partial ]]; then
    cat "$counted"
elif compgen -G '/var/lib/apt/lists/*Release' >/dev/null; then
    # shellcheck disable=SC2016  # its own variables
    setsid nice --adjustment=19 bash -c 'set -o pipefail
        exec 8>"$0.lock" && flock --nonblock 8 || exit
        apt-get --simulate --option Debug::NoLocking=true upgrade | awk -v fetched="$(date --reference=/var/lib/apt/lists/partial +%F)" \
            "/^Inst / { all++; if (/Debian-Security:/) security++ } END { print \"updates\", all + 0, security + 0, fetched }" >"$0.new" \
            && mv "$0.new" "$0"' "$counted" </dev/null >/dev/null 2>&1 &
fi
[[ ! -d /srv/site ]] || echo "site $(basename "$(readlink /srv/site/current)" | cut --characters 1-12)"
for mount in "mount /media/sessions" "files_mount /media/files"; do
    read -r fact folder <<<"$mount"
    if grep --quiet " $folder " /etc/fstab; then
        grep --quiet " $folder fuse.glusterfs " /proc/self/mounts && echo "$fact mounted" || echo "$fact missing"
    fi
done
if [[ -S /run/php-cluster-session-log/socket ]]; then
    PYTHONPATH=/usr/lib/php-cluster PYTHONDONTWRITEBYTECODE=1 python3 -m session_service.ask /run/php-cluster-session-log/socket --words 2>&1 \
        | sed --quiet '$s/^/log /p'
fi
if [[ -d /usr/lib/php-cluster/extension ]]; then
    echo "refused $(journalctl --identifier=php --since=-1h --output=cat --quiet --grep='^session .* refused on ' | wc --lines)"
fi
# Steps of this machine look the same way: scripts/hosts/gluster/arbiter-agrees.sh.
if [[ -d /var/lib/php-cluster/arbiter ]]; then
    getfattr --absolute-names --dump --encoding=hex --match='trusted.afr.*-client-' /var/lib/php-cluster/arbiter/trusted.afr.* 2>/dev/null \
        | sed --quiet 's/^trusted\.afr\..*-client-\([01]\)=0x0*[1-9a-f].*/arbiter_outdated \1/p' | sort --unique
fi
if [[ -d /session/brick/.glusterfs ]]; then
    echo "sessions $(find /session/brick -maxdepth 1 -name 'sess_*' | wc -l)"
    gluster --mode=script peer status | awk '/^Hostname: / { name = $2 } /^State: / { print "peer", name, substr($0, 8) }'
    # Of both volumes at once: either may wait for a dead member.
    for volume in "brick sessions" "files_brick files"; do
        read -r fact name <<<"$volume"
        grep --quiet '^status=1$' "/var/lib/glusterd/vols/$name/info" 2>/dev/null || continue
        timeout 3 gluster --mode=script volume heal "$name" info summary \
            | awk -v fact="$fact" '/^Brick / { split($2, part, ":"); name = part[1] } /^Status: / { state = substr($0, 9) }
                   /in heal pending: / { print fact, name, $NF, state }' &
    done
    wait
fi
