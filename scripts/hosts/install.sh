# shellcheck shell=bash
# Gives a machine its packages and the names of the brick hosts.
#
# Input: PACKAGES (separated by blanks), HOST_TABLE (lines for /etc/hosts), HOST_NAME.
# Postcondition: every package is installed, every brick host's name resolves, clocks and services are left alone.
# A second run changes nothing.

if [[ $(hostname) != "$HOST_NAME" ]]; then
    changing "names the machine $HOST_NAME"
    echo "$HOST_NAME" >/etc/hostname
    hostname "$HOST_NAME"
fi

begin='# php-cluster: brick hosts' end='# php-cluster: end'
rest=$(sed "/^$begin\$/,/^$end\$/d" /etc/hosts)
grep --quiet --word-regexp localhost <<<"$rest" || rest="127.0.0.1 localhost"$'\n'"$rest"
# Not replaced by renaming: /etc/hosts may be a mount of its own.
wanted=$(printf '%s\n%s\n%s\n%s' "$rest" "$begin" "${HOST_TABLE%$'\n'}" "$end")
if [[ $(cat /etc/hosts) != "$wanted" ]]; then
    changing "writes the brick hosts to /etc/hosts"
    printf '%s\n' "$wanted" >/etc/hosts
fi

read -r -a packages <<<"$PACKAGES"
# It knows some under the name of their architecture too, and fails when there is one that it does not know.
installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null) || true
missing=()
for package in "${packages[@]}"; do
    grep --quiet --line-regexp --fixed-strings "$package installed" <<<"$installed" || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    changing "installs ${missing[*]}"
    apt-get update --quiet --quiet || fail "apt-get update failed; can this machine reach its package mirror?"
    for package in "${missing[@]}"; do
        apt-cache show "$package" >/dev/null 2>&1 || fail "there is no Debian package named $package"
    done
    apt-get install --yes --quiet --quiet --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null \
        || fail "apt-get could not install ${missing[*]}"
fi
report "${#packages[@]} packages installed"
