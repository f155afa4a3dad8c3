# shellcheck shell=bash
# Tools for checks and tests of which Debian has no package, or none of a version that is kept: each a build from its pinned Go
# module, which the folder of its name has.

# actionlint judges .github/workflows.
linter() { go_tool actionlint 1.7.12 github.com/rhysd/actionlint/cmd/actionlint; }

# pebble is a CA for tests, and has a name server that it asks.
test_ca() {
    go_tool pebble 2.10.3 github.com/letsencrypt/pebble/v2/cmd/pebble github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv
}

# go_tool NAME VERSION PROGRAM…: has these programs; one of them is called as the tool is.
go_tool() {
    local name=$1 version=$2 wanted
    wanted=$version-$(digest "$TOOLCHAIN/$name/go.sum")
    stamped "$name" "$wanted" && [[ -x $LOCAL/bin/$name ]] && return
    TOOL=$name PROGRAMS=("${@:3}")
    stage "$name $version from its Go module" from_cache "$name" "$wanted" build_go_tool
    stamp "$name" "$wanted"
}

# build_go_tool FOLDER
build_go_tool() {
    find_go
    (cd "$TOOLCHAIN/$TOOL" && GOFLAGS='' "$GO" build -mod=readonly -trimpath -buildvcs=false -o "$1/" "${PROGRAMS[@]}")
}
