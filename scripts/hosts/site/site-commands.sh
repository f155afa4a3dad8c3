# shellcheck shell=bash
# Runs commands of a release that lies ready, in its folder, as PHP's user and with the site's environment.
#
# Input: RELEASE, KIND (name of these commands), COMMANDS (a shell command a line), COMMAND_SECONDS (for each).
# Postcondition: all of them have ended well. What serves is left alone. A second run changes nothing: a release remembers the
# commands that it has run.

release=/srv/site/releases/$RELEASE
note=/srv/site/notes/$RELEASE/$KIND
environment=/etc/php-cluster/environment
unit=php-cluster-$STEP

# hide_values TEXT: the text with the names of variables in place of their values, line by line, where those are long enough to
# be secrets.
hide_values() {
    local said=$1 pairs=() pair line
    # The file is shell, too.
    [[ ! -f $environment ]] || mapfile -d '' -t pairs < <(env --ignore-environment /bin/sh -c "set -a; . $environment; exec /usr/bin/env --null")
    for pair in "${pairs[@]}"; do
        [[ ${pair%%=*} != @(PWD|OLDPWD|_) ]] || continue
        while IFS= read -r line; do
            ((${#line} < 8)) || said=${said//"$line"/[${pair%%=*}]}
        done <<<"${pair#*=}"
    done
    printf '%s\n' "$said"
}

# run COMMAND: in a unit of its own, so that nothing of it outlives its time or this step. From a file, so that it is in no
# list of processes.
run() {
    local said status=0 began=$SECONDS
    printf '%s\n' "$1" >"$work/command"
    chmod 644 "$work/command"
    systemd-run --quiet --pipe --wait --collect --unit="$unit" --uid=www-data --gid=www-data \
        --property=EnvironmentFile=-"$environment" --property=WorkingDirectory="$release" \
        --property=RuntimeMaxSec="$COMMAND_SECONDS" --property=TimeoutStopSec=10 \
        /bin/bash "$work/command" </dev/null >"$work/said" 2>&1 || status=$?
    said=$(hide_values "$(tail --bytes 20000 "$work/said" | tr --delete '\0')" | tail --lines 10 | tr --complement '[:print:]\n' ' ' | cut --characters 1-300)
    ((status == 0)) || {
        ((SECONDS - began < COMMAND_SECONDS)) || status="$status after its time of $COMMAND_SECONDS s"
        fail "the command \"$1\" of the new site ends with status $status, the old one stays:
$said"
    }
    echo "$1"
    [[ -z $said ]] || echo "$said"
}

if [[ ! -d $release ]] || ! holds "$note" "$COMMANDS"; then
    changing "runs $KIND of release ${RELEASE:0:12}"
    [[ -d $release ]] || fail "release ${RELEASE:0:12} is not there"
    # One of an earlier run that was killed.
    systemctl stop "$unit" 2>/dev/null || true
    work=$(mktemp --directory)
    trap 'systemctl stop "$unit" 2>/dev/null || true; rm -rf "$work"' EXIT
    chmod 711 "$work"
    mapfile -t commands <<<"$COMMANDS"
    for command in "${commands[@]}"; do
        run "$command"
    done
    put_file "$note" 0600 "$COMMANDS"
fi
report "release ${RELEASE:0:12} has run its $KIND"
