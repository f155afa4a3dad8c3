# shellcheck shell=bash
# Switches the site to a release that lies ready, and waits until the node can serve it.
#
# Input: HASH (an unpacked release).
# Postcondition: /srv/site/current is that release. The switch is one rename: a request sees the old site or the new one.
# The last three releases stay, for requests that still run on them. The node's health page says that it can serve.
# A second run changes nothing.

releases=/srv/site/releases
release=$releases/$HASH
if [[ $(readlink /srv/site/current 2>/dev/null) != "$release" ]]; then
    changing "switches to release ${HASH:0:12}"
    [[ -d $release ]] || fail "release ${HASH:0:12} is not there"
    ln --symbolic --force --no-dereference "$release" /srv/site/.next
    mv --no-target-directory /srv/site/.next /srv/site/current
    touch "$release"
    find "$releases" -mindepth 1 -maxdepth 1 -type d ! -path "$release" -printf '%T@ %p\n' | sort --numeric-sort --reverse \
        | tail --lines +3 | cut --delimiter ' ' --fields 2- | xargs --no-run-if-empty rm -rf
fi

# The balancers ask the same page before they send anybody here.
serves() { curl --silent --show-error --fail-with-body --max-time 5 http://127.0.0.1:8406/health; }
wait_until 60 "this node can serve" serves
report "the site is release ${HASH:0:12}"
