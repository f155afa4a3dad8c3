# shellcheck shell=bash
# The plugins `command` and `random`, and `aws` for a stack that needs it: official ones where they can be had, else the
# stand-ins of this folder; that of `aws` can do no more here than a preview.
#
# OFFICIAL_PLUGINS=FOLDER takes pulumi-resource-command and pulumi-resource-random from there, for make and every test, and
# pulumi-resource-aws if it is there.

COMMAND_VERSION=1.2.1
RANDOM_VERSION=4.21.4
AWS_VERSION=7.51.1
AWS_STANDIN=$TOOLCHAIN/aws/pulumi-resource-aws

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
    elif download_site_answers; then
        stage "Official plugins from Pulumi's download site" downloaded_plugins
        wanted=downloaded
    else
        stage "Stand-ins for the plugins command and random" built_plugins
    fi
    stamp plugins "$wanted"
}

download_site_answers() { curl --fail --silent --head --max-time 3 --output /dev/null https://get.pulumi.com; }

# aws_plugin: several hundred MB, which a stack of another substrate is spared.
aws_plugin() {
    local wanted=downloaded source=${OFFICIAL_PLUGINS-}/pulumi-resource-aws
    grep --quiet --extended-regexp "^ *php-cluster:substrate: *[\"']?aws" "$PROJECT/Pulumi.$STACK.yaml" 2>/dev/null || return 0
    if [[ -x $source ]]; then
        wanted=$source
    else
        stamped aws downloaded && [[ -d $PULUMI_HOME/plugins/resource-aws-v$AWS_VERSION ]] && return
        download_site_answers || wanted=standin-$(digest "$AWS_STANDIN")
    fi
    stamped aws "$wanted" && [[ -d $PULUMI_HOME/plugins/resource-aws-v$AWS_VERSION ]] && return
    if [[ $wanted == downloaded ]]; then
        stage "Official plugin aws from Pulumi's download site" timeout 900 pulumi plugin install resource aws "$AWS_VERSION"
    elif [[ $wanted == "$source" ]]; then
        stage "Official plugin aws from $OFFICIAL_PLUGINS" install_plugin aws "$AWS_VERSION" "$source"
    else
        echo "Pulumi's download site does not answer within 3 s; a stand-in for the plugin aws shows previews, and makes nothing."
        stage "Stand-in for the plugin aws" install_plugin aws "$AWS_VERSION" "$AWS_STANDIN"
    fi
    stamp aws "$wanted"
}

# install_plugin NAME VERSION FILE
install_plugin() { pulumi plugin install --reinstall resource "$1" "$2" --file "$3"; }

plugins_from() {
    local name version
    for name in "command $COMMAND_VERSION" "random $RANDOM_VERSION"; do
        version=${name#* } name=${name% *}
        [[ -x $1/pulumi-resource-$name ]] || fail "OFFICIAL_PLUGINS=$1 has no pulumi-resource-$name"
        install_plugin "$name" "$version" "$1/pulumi-resource-$name"
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
