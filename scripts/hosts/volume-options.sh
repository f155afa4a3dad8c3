# shellcheck shell=bash
# Sets the volume's options.
#
# Input: VOLUME, OPTIONS (lines "name value").
# Postcondition: every option has its value; one that an earlier run set and that is not wanted any more has Gluster's default.
# A second run changes nothing. Options that an operator set are left alone.

record=/var/lib/php-cluster/volume-options-$VOLUME
declare -A current=() wanted=()
while IFS=': ' read -r name value; do
    [[ -n $name ]] && current[$name]=$value
done < <(gluster --mode=script volume info "$VOLUME" | sed '1,/^Options Reconfigured:/d')

set_now=()
while read -r name value; do
    [[ -n $name ]] || continue
    wanted[$name]=1
    [[ ${current[$name]-} == "$value" ]] || set_now+=("$name" "$value")
done <<<"$OPTIONS"
if ((${#set_now[@]} > 0)); then
    changing "sets ${set_now[*]}"
    said=$(gluster --mode=script volume set "$VOLUME" "${set_now[@]}" 2>&1) || fail "volume set ${set_now[*]} failed: $said"
fi
if [[ -f $record ]]; then
    while read -r name; do
        [[ -z $name || -n ${wanted[$name]-} || -z ${current[$name]-} ]] && continue
        changing "resets $name"
        gluster --mode=script volume reset "$VOLUME" "$name" >/dev/null || fail "cannot reset $name"
    done <"$record"
fi
put_file "$record" 0644 "$(printf '%s\n' "${!wanted[@]}" | sort)"$'\n' || true
report "${#wanted[@]} options set"
