# shellcheck shell=bash
# The plugins `command` and `random`: official ones where they can be had, else the stand-ins of this folder.
#
# OFFICIAL_PLUGINS=FOLDER takes pulumi-resource-command and pulumi-resource-random from there, for make and every test.

COMMAND_VERSION=1.2.1
RANDOM_VERSION=4.21.4

# standins_folder: where the stand-ins are kept once they are built, named by their source.
standins_folder() {
    local sources
    mapfile -t sources < <(find "$TOOLCHAIN/go" -name '*.go' | sort)
    echo "$CACHE/standins-$(digest "$TOOLCHAIN/go/go.sum" "${sources[@]}")"
}

plugins() {
    local wanted
    wanted=${OFFICIAL_PLUGINS:-$(basename "$(standins_folder)")}
    if stamped plugins "$wanted" || { [[ -z ${OFFICIAL_PLUGINS-} ]] && stamped plugins downloaded; }; then
        [[ -d $PULUMI_HOME/plugins/resource-command-v$COMMAND_VERSION && -d $PULUMI_HOME/plugins/resource-random-v$RANDOM_VERSION ]] && return
    fi
    if [[ -n ${OFFICIAL_PLUGINS-} ]]; then
        stage "Official plugins from $OFFICIAL_PLUGINS" plugins_from "$OFFICIAL_PLUGINS"
    elif curl --fail --silent --head --max-time 3 --output /dev/null https://get.pulumi.com; then
        stage "Official plugins from Pulumi's download site" downloaded_plugins
        wanted=downloaded
    else
        stage "Stand-ins for the plugins command and random" built_plugins
    fi
    stamp plugins "$wanted"
}

plugins_from() {
    local name version
    for name in "command $COMMAND_VERSION" "random $RANDOM_VERSION"; do
        version=${name#* } name=${name% *}
        [[ -x $1/pulumi-resource-$name ]] || fail "OFFICIAL_PLUGINS=$1 has no pulumi-resource-$name"
        pulumi plugin install --reinstall resource "$name" "$version" --file "$1/pulumi-resource-$name"
    done
}

downloaded_plugins() {
    timeout 300 pulumi plugin install resource command "$COMMAND_VERSION"
    timeout 300 pulumi plugin install resource random "$RANDOM_VERSION"
}

built_plugins() {
    standins
    plugins_from "$(standins_folder)"
}

# standins: builds them if they are not there yet.
standins() {
    local folder
    folder=$(standins_folder)
    from_cache standins "${folder##*-}" build_plugins
    # On the path they would be taken for plugins that a developer put there.
    rm -f "$LOCAL"/bin/pulumi-resource-*
}

build_plugins() {
    find_go
    build go "$PULUMI_VERSION" "$1/" ./pulumi-resource-command ./pulumi-resource-random
}
