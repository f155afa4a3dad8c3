# shellcheck shell=bash
# Looks whether the steps that ran on this machine would change anything (components/steps/drift.py). Changes nothing.
#
# Input: none. Output: a JSON object a line: {"step": …, "reason": …} for each step that would, and {"rolled_back_from": …,
# "to": …} where the site was rolled back (site/site-release).

if read -r from to 2>/dev/null </srv/site/rolled-back; then
    printf '{"rolled_back_from": "%s", "to": "%s"}\n' "${from//[^0-9a-f]/}" "${to//[^0-9a-f]/}"
fi
cd /var/lib/php-cluster/steps 2>/dev/null || exit 0

# What a power cut has left of a kept script may be valid, and say something else.
scripts=/var/lib/php-cluster/scripts
damaged=$(sha256sum "$scripts"/*.* 2>/dev/null | while read -r hash file; do
    [[ $hash == "${file##*.}"* ]] || echo "$file"
done)

# One after the other: Gluster's daemon takes one question at a time.
for step in *; do
    [[ -f $step ]] || continue
    for file in $damaged; do
        ! grep --quiet --fixed-strings "/${file##*/}" "$step" || {
            printf '{"step": "%s", "reason": "%s"}\n' "$step" "$file is damaged"
            continue 2
        }
    done
    said=$(CHECK=yes timeout 15 bash "./$step" </dev/null 2>&1) && continue
    said=$(tail --lines 1 <<<"$said" | tr --complement --delete '[:print:]' | tr '\\"' "/'")
    printf '{"step": "%s", "reason": "%s"}\n' "$step" "${said:-it ends with an error}"
done
