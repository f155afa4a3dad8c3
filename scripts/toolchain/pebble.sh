# shellcheck shell=bash
# pebble, a CA for tests, and the name server that it asks: no Debian package of a version that is kept, so a build from its pinned
# Go module.

PEBBLE_VERSION=2.10.3

test_ca() {
    local wanted
    wanted=$PEBBLE_VERSION-$(digest "$TOOLCHAIN/pebble/go.sum")
    stamped pebble "$wanted" && [[ -x $LOCAL/bin/pebble ]] && return
    stage "pebble $PEBBLE_VERSION from its Go module" from_cache pebble "$wanted" build_test_ca
    stamp pebble "$wanted"
}

build_test_ca() {
    find_go
    (cd "$TOOLCHAIN/pebble" && GOFLAGS='' "$GO" build -mod=readonly -trimpath -buildvcs=false -o "$1/" \
        github.com/letsencrypt/pebble/v2/cmd/pebble github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv)
}
