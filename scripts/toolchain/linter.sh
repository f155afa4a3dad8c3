# shellcheck shell=bash
# actionlint, which judges .github/workflows: no Debian package, so a build from its pinned Go module.

ACTIONLINT_VERSION=1.7.12

linter() {
    local wanted
    wanted=$ACTIONLINT_VERSION-$(digest "$TOOLCHAIN/actionlint/go.sum")
    stamped actionlint "$wanted" && [[ -x $LOCAL/bin/actionlint ]] && return
    stage "actionlint $ACTIONLINT_VERSION from its Go module" from_cache actionlint "$wanted" build_linter
    stamp actionlint "$wanted"
}

build_linter() {
    find_go
    (cd "$TOOLCHAIN/actionlint" && GOFLAGS='' "$GO" build -mod=readonly -trimpath -buildvcs=false -o "$1/actionlint" \
        github.com/rhysd/actionlint/cmd/actionlint)
}
