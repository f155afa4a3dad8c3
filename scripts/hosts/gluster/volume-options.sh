# shellcheck shell=bash
# Sets the volume's options, and admits the machines that may mount it.
#
# Input: VOLUME, OPTIONS (lines "name value"), ADDRESSES (separated by commas).
# Postcondition: every option has its value; one that an earlier run set and that is not wanted any more has Gluster's default.
# The addresses may mount the volume; those that could before still may (volume-revoke.sh takes that from them).
# A second run changes nothing. Options that an operator set are left alone.

record=/var/lib/php-cluster/volume-options-$VOLUME
declare -A current=() wanted=()
while IFS=': ' read -r name value; do
    [[ -n $name ]] && current[$name]=$value
done < <(gluster --mode=script volume info "$VOLUME" | sed '1,/^Options Reconfigured:/d')

# All in one change of the volume, for which the whole pool is asked once.
set_now=()
while read -r name value; do
    [[ -n $name ]] || continue
    wanted[$name]=1
    [[ ${current[$name]-} == "$value" ]] || set_now+=("$name" "$value")
done <<<"$OPTIONS"
allowed=${current[auth.allow]-}
[[ $allowed != '*' ]] || allowed=
admitted=$(tr ',' '\n' <<<"$ADDRESSES,$allowed" | awk 'NF && !seen[$0]++' | paste --serial --delimiters ,)
# The same machines in another order are no news.
if [[ $(tr ',' '\n' <<<"$admitted" | sort) != "$(tr ',' '\n' <<<"$allowed" | sort)" ]]; then
    set_now+=(auth.allow "$admitted")
fi
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
put_file "$record" 0644 "$(printf '%s\n' "${!wanted[@]}" | sort)"$'\n'
report "${#wanted[@]} options set, ${ADDRESSES//,/, } admitted"
