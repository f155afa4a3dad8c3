# shellcheck shell=bash
# A control group of its own for each machine.
#
# Where systemd is the box's first process, a machine is a transient unit and systemd makes the group. Elsewhere (CI,
# containers) it is made here, in every hierarchy the box has that systemd inside the machine looks at; without one, all
# machines would share a tree and could not restart their own services.

systemd_is_first() { [[ -d /run/systemd/system ]]; }

unit_of() { echo "php-cluster-$1.service"; }

# group_folders MACHINE: the folders of the machine's group, existing or to be made.
group_folders() {
    local hierarchy
    if systemd_is_first; then
        local path
        path=$(systemctl show --property ControlGroup --value "$(unit_of "$1")" 2>/dev/null)
        [[ -n $path ]] || return 0
        for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
            [[ -d $hierarchy$path ]] && echo "$hierarchy$path"
        done
        return 0
    fi
    if [[ $(stat --file-system --format %T /sys/fs/cgroup) == cgroup2fs ]]; then
        echo "/sys/fs/cgroup/php-cluster-$1"
        return
    fi
    for hierarchy in systemd unified; do
        [[ -d /sys/fs/cgroup/$hierarchy ]] && echo "/sys/fs/cgroup/$hierarchy/php-cluster-$1"
    done
    return 0
}

# processes_of MACHINE: the ids of every process in it, as this box sees them.
processes_of() {
    local folder
    for folder in $(group_folders "$1"); do
        find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
    done | sort --unique --numeric-sort | grep --invert-match --line-regexp 0 || true
}

# remove_groups MACHINE: removes the emptied groups, innermost first.
remove_groups() {
    local folder
    systemd_is_first && return
    for folder in $(group_folders "$1"); do
        find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

# freezer_of MACHINE: the file that stops (1) and continues (0) all processes of the machine.
freezer_of() {
    local folder
    for folder in $(group_folders "$1"); do
        if [[ -e $folder/cgroup.freeze ]]; then
            echo "$folder/cgroup.freeze"
            return
        fi
    done
    return 1
}
