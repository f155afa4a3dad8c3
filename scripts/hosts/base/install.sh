# shellcheck shell=bash
# Gives a machine its packages, the names of the brick hosts, a journal, the time, and the rules for packets from elsewhere.
#
# Input: PACKAGES (separated by blanks), HOST_TABLE (lines for /etc/hosts), HOST_NAME, PACKET_FILTER (nftables rules), EXACT
# ("no": PHP nodes that these rules let in already, they still do, until packet-filter.sh runs), PACKET_FILTER_SERVICE,
# NFTABLES_DROP_IN (unit files), LOG_DAYS, TIME_SERVERS (separated by blanks; not set: Debian's own).
# Postcondition: every package is installed, every brick host's name resolves, the rules hold, now and from before any daemon
# starts at a boot. cloud-init, if it is there, leaves the names alone. The journal outlives a power cut, for LOG_DAYS.
# Something sets the clock: what did before, or chrony; a container has the clock of its host.
# A second run changes nothing.

if [[ $(hostname) != "$HOST_NAME" ]]; then
    changing "names the machine $HOST_NAME"
    echo "$HOST_NAME" >/etc/hostname
    hostname "$HOST_NAME"
fi

begin='# php-cluster: brick hosts' end='# php-cluster: end'
# put_names FILE [LINE]: the brick hosts at the end of a file of names; at its head the line, where nobody else has localhost.
put_names() {
    local file=$1 rest wanted
    rest=$(sed "/^$begin\$/,/^$end\$/d" "$file")
    [[ -z ${2-} ]] || grep --quiet --word-regexp localhost <<<"$rest" || rest=$2$'\n'$rest
    wanted=$(printf '%s\n%s\n%s\n%s' "$rest" "$begin" "${HOST_TABLE%$'\n'}" "$end")$'\n'
    if ! mountpoint --quiet "$file"; then
        put_file "$file" 0644 "$wanted"
    elif ! holds "$file" "$wanted"; then
        changing "writes the brick hosts to $file"
        printf '%s' "$wanted" >"$file"
    fi
}
put_names /etc/hosts "127.0.0.1 localhost"
# cloud-init may have been told to write host name and /etc/hosts at every boot. Its own settings count less than what the provider
# or the machine's user data say, so the text that it makes /etc/hosts of has the names too.
if [[ -d /etc/cloud/cloud.cfg.d ]]; then
    put_file /etc/cloud/cloud.cfg.d/99-php-cluster.cfg 0644 "# php-cluster has named the machine and written the brick hosts to /etc/hosts.
preserve_hostname: true
manage_etc_hosts: false
"
fi
made_from=/etc/cloud/templates/hosts.debian.tmpl
[[ ! -f $made_from ]] || put_names "$made_from"

# The first of its folder: what the machine's owner says there counts more.
put_file /etc/systemd/journald.conf.d/10-php-cluster.conf 0644 "[Journal]
Storage=persistent
MaxRetentionSec=${LOG_DAYS}day
"
unchanged || systemctl restart systemd-journald

read -r -a packages <<<"$PACKAGES"
# Whoever unconfigures the machine ends it.
own_chrony=/var/lib/php-cluster/own-chrony
# The kernel has 15 characters of a process' name. VMware's tools run whether or not they set the clock; they say which.
sets_clock() {
    grep --quiet --no-messages --line-regexp --extended-regexp 'chronyd|ntpd|systemd-timesyn|phc2sys|ptp4l|timemaster' /proc/[0-9]*/comm \
        || { grep --quiet --no-messages --line-regexp vmtoolsd /proc/[0-9]*/comm && vmware-toolbox-cmd timesync status >/dev/null 2>&1; }
}
# wants_chrony: nothing sets the clock, or nothing did before the chrony that is ours.
wants_chrony=no
if [[ -e $own_chrony ]]; then
    wants_chrony=yes
elif [[ ! -e /run/systemd/container ]] && ! sets_clock; then
    changing "has chrony set the clock, which nothing does"
    wants_chrony=yes
fi
[[ $wants_chrony == no ]] || packages+=(chrony)
# It knows some under the name of their architecture too, and fails when there is one that it does not know.
installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null) || true
missing=()
for package in "${packages[@]}"; do
    [[ $'\n'$installed$'\n' == *$'\n'"$package installed"$'\n'* ]] || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    changing "installs ${missing[*]}"
    why=''
    [[ $wants_chrony == no || " ${missing[*]} " != *' chrony '* ]] || why=" (chrony is wanted because nothing sets this machine's clock)"
    apt_get update || fail "apt-get update failed; can this machine reach its package mirror?$why"
    for package in "${missing[@]}"; do
        apt-cache show "$package" >/dev/null 2>&1 || fail "there is no Debian package named $package"
    done
    if [[ -n $why ]]; then
        # First and alone: it runs then, and the next look would take it for another's if apt failed with one of the rest.
        apt_get install --no-install-recommends chrony || fail "apt-get could not install chrony$why"
        : >"$own_chrony"
    fi
    apt_get install --no-install-recommends "${missing[@]}" \
        || fail "apt-get could not install ${missing[*]}"
fi

if [[ $wants_chrony == yes ]]; then
    [[ -e $own_chrony ]] || : >"$own_chrony"
    servers=/etc/chrony/sources.d/php-cluster.sources
    read -r -a time_servers <<<"${TIME_SERVERS-}"
    if ((${#time_servers[@]} > 0)); then
        # Those of Debian's pool, which such a network may not reach, count less.
        put_file "$servers" 0644 "$(printf 'server %s iburst prefer\n' "${time_servers[@]}")"$'\n'
    elif [[ -e $servers ]]; then
        changing "leaves the choice of time servers to Debian"
        rm "$servers"
    fi
    enabled_and_running chrony restart
fi

filter=/etc/php-cluster/packet-filter.nft
php_nodes='s/^define php_nodes = { \(.*\) }$/\1/p'
if [[ $EXACT == no && -f $filter ]]; then
    all=$(sed --quiet "$php_nodes" - "$filter" <<<"$PACKET_FILTER" | sed 's/, /\n/g' | awk '!seen[$0]++' | paste --serial --delimiters , | sed 's/,/, /g')
    PACKET_FILTER=$(awk -v all="$all" '/^define php_nodes = / { $0 = "define php_nodes = { " all " }" } { print }' <<<"$PACKET_FILTER")
    # The line's end that the substitution has cut off.
    PACKET_FILTER+=$'\n'
fi
put_file "$filter" 0644 "$PACKET_FILTER"
put_unit php-cluster-packet-filter.service "$PACKET_FILTER_SERVICE"
# A firewall of the user's own may begin with a flush of all rules, whenever it is started or reloaded.
put_unit nftables.service.d/php-cluster.conf "$NFTABLES_DROP_IN"
reread_if_changed nftables
if ! unchanged; then
    said=$(nft --check --file "$filter" 2>&1) || fail "nft refuses the packet filter: $said"
fi
if ! nft list table inet php_cluster >/dev/null 2>&1 && systemctl is-active --quiet php-cluster-packet-filter; then
    changing "puts the packet filter back"
fi
enabled_and_running php-cluster-packet-filter restart
report "${#packages[@]} packages installed"
