# shellcheck shell=bash
# Asks one page of a release before any node switches to it, at an address that only this machine reaches.
#
# Input: RELEASE (that lies ready), ROLLED_BACK_TO (the release that serves in its place, if any), HEALTH_PATH (of a page), HOST
# (name that the request carries).
# Postcondition: the page answered with a status from 200 to 399, or the release serves already. A second run changes nothing.

wanted=$(/usr/lib/php-cluster/site-release target "$RELEASE" "$ROLLED_BACK_TO")
release=/srv/site/releases/$wanted
if [[ $(readlink /srv/site/current 2>/dev/null) != "$release" ]]; then
    changing "tries release ${wanted:0:12}"
    [[ -d $release ]] || fail "release ${wanted:0:12} is not there"
    began=$(date '+%Y-%m-%d %H:%M:%S')
    web=$release/$(<"/srv/site/notes/$wanted/web-root")
    ln --symbolic --force --no-dereference "${web%/}" /srv/site/trial
    ln --symbolic --force --no-dereference "$release" /srv/site/trial-release
    page=$(mktemp)
    status=$(curl --silent --show-error --max-time 60 --output "$page" --write-out '%{http_code}' --header "Host: $HOST" \
        "http://127.0.0.1:8081$HEALTH_PATH") || true
    rm -f /srv/site/trial /srv/site/trial-release
    said=$(head --bytes 300 "$page" | tr --complement '[:print:]' ' ')
    rm -f "$page"
    [[ $status =~ ^[23] ]] || fail "$HEALTH_PATH of the new site answers $status, the old one stays: $said
$(journalctl --unit 'php-cluster-fpm@*' --since "$began" --output cat --quiet --lines 5)"
fi
report "release ${wanted:0:12} answers"
