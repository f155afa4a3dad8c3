# shellcheck shell=bash
# Starting a machine and taking its power away. Needs lib.sh, cgroups.sh and `use_machine`.

# leader: the process id of the machine's own first process; fails when it is off.
leader() {
    local nspawn child
    nspawn=$(cat "$FOLDER/nspawn.pid" 2>/dev/null) || return 1
    grep --quiet --text --fixed-strings -- "--machine=$MACHINE" "/proc/$nspawn/cmdline" 2>/dev/null || return 1
    # The kernel's own list: pgrep would go through all processes of all machines, for each machine that is asked for.
    for child in $(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null || pgrep --parent "$nspawn"); do
        if [[ $(awk '/^NSpid:/ { print $NF }' "/proc/$child/status" 2>/dev/null) == 1 ]]; then
            echo "$child"
            return
        fi
    done
    return 1
}

is_running() { leader >/dev/null; }

ssh_answers() {
    local banner carrier=0
    # Not before its end of the link is up: the first question for its address would be lost, the next one comes 1 s later.
    { read -r carrier <"/sys/class/net/$LINK/carrier"; } 2>/dev/null
    ((carrier == 1)) || return 1
    # The connection is bash's own: no tool is needed, and a refused one costs nothing.
    { exec 3<>"/dev/tcp/$1/22" && read -r -t 2 banner <&3; } 2>/dev/null || return 1
    exec 3>&-
    [[ $banner == SSH-* ]]
}

# By the kernel's list: `mountpoint` asks the file system, and one that has failed does not answer.
is_mounted() { grep --quiet --fixed-strings " $1 " /proc/self/mountinfo; }
link_is_gone() { [[ ! -e /sys/class/net/$LINK ]]; }
no_process_left() { [[ -z $(processes_of "$MACHINE") ]]; }
is_frozen() { [[ $(cat "$(freezer_of "$MACHINE")" 2>/dev/null) == 1 ]]; }

# mount_parts: the machine's root over its image, and its brick disk.
mount_parts() {
    local image
    image=$(<"$FOLDER/image")
    [[ -d $image ]] || fail "the image of $NAME, $image, is gone; destroy the stack and make it again"
    if ! is_mounted "$FOLDER/root"; then
        mount -t overlay -o "lowerdir=$image,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$MACHINE" "$FOLDER/root"
    fi
    if [[ -f $FOLDER/disk.img ]] && ! is_mounted "$FOLDER/disk"; then
        mount_disk
    fi
}

# mount_disk: always through a device of its own. After a power cut some other mount namespace of this box may hold the file
# system of before for as long as it likes; it writes no more, but the same device would give it back.
mount_disk() {
    local device
    device=$(losetup --find --show "$FOLDER/disk.img")
    mount -o noatime,nouuid "$device" "$FOLDER/disk"
    # The device goes with its mount.
    losetup --detach "$device"
}

unmount_parts() {
    local part
    for part in "$FOLDER/root" "$FOLDER/disk"; do
        while is_mounted "$part"; do
            # Lazily if need be: what still holds it is about to end.
            umount "$part" 2>/dev/null || umount --lazy "$part"
        done
    done
}

# start_machine: boots it and returns at once; it belongs to nobody's terminal or process group.
start_machine() {
    remove_traces
    mount_parts
    if systemd_is_first; then
        systemctl reset-failed "$(unit_of "$MACHINE")" 2>/dev/null || true
        systemd-run --quiet --collect --unit="$(unit_of "$MACHINE")" --property=Delegate=yes --property=KillMode=mixed \
            --property=TasksMax=16384 --property='DeviceAllow=/dev/fuse rwm' "$SCRIPTS/supervise" "$LAB" "$NAME"
    else
        setsid --fork "$SCRIPTS/supervise" "$LAB" "$NAME" </dev/null >>"$FOLDER/console.log" 2>&1
    fi
}

is_off() { ! is_running; }

# shut_down: asks its first process to stop all services and to switch it off, and returns at once.
shut_down() { kill -s RTMIN+4 "$(leader)" 2>/dev/null || true; }

# kill_machine: everything in it ends at once. What goes over its link before that is the caller's business.
kill_machine() {
    local freezer
    # A supervisor that is not killed first would take a dying machine for a rebooting one.
    if systemd_is_first; then
        systemctl kill --kill-whom=all --signal=SIGKILL "$(unit_of "$MACHINE")" 2>/dev/null || true
    fi
    [[ -f $FOLDER/supervisor.pid ]] && is_supervisor "$(<"$FOLDER/supervisor.pid")" && kill -KILL "$(<"$FOLDER/supervisor.pid")"
    local _
    for _ in {1..200}; do
        no_process_left && break
        # shellcheck disable=SC2046
        kill -KILL $(processes_of "$MACHINE") 2>/dev/null || true
        freezer=$(freezer_of "$MACHINE") && echo 0 >"$freezer"
        sleep 0.05
    done
    no_process_left || fail "$NAME does not end: process $(processes_of "$MACHINE" | head -1)"
    rm -f "$FOLDER/nspawn.pid" "$FOLDER/supervisor.pid"
    remove_traces
    remove_groups "$MACHINE"
}

# take_power: not even its network connections say goodbye, and what only its memory held is lost.
take_power() {
    cut_link
    if is_mounted "$FOLDER/disk"; then stop_disk; fi
    kill_machine
    unmount_parts
}

# stop_disk: from now on its brick's disk gives nothing but errors, and keeps what had reached it. The kernel's own way to stop
# a file system at once: without it, this box's memory would keep for the machine what a real one loses.
stop_disk() { disk_has_failed || xfs_io -x -c shutdown "$FOLDER/disk"; }

disk_has_failed() { is_mounted "$FOLDER/disk" && ! ls "$FOLDER/disk" >/dev/null 2>&1; }

# end_machine: it is off, and nothing of it is mounted.
end_machine() {
    cut_link
    kill_machine
    unmount_parts
}

# remove_machine: nothing of it is left, whatever there was.
remove_machine() {
    end_machine
    [[ ! -L $FOLDER/disk.img ]] || rm -f "$(readlink "$FOLDER/disk.img")"
    rm -rf --one-file-system "$FOLDER"
}

# remove_all_but_disk: its brick's disk is left.
remove_all_but_disk() {
    end_machine
    find "$FOLDER" -mindepth 1 -maxdepth 1 ! -name disk.img -exec rm -rf --one-file-system {} +
}

# disk_is_kept: whether the next machine of this name is to have the brick's disk, with what Gluster knew of it: then that lies
# on the disk (scripts/machine_upgrade.sh).
disk_is_kept() {
    [[ -f $FOLDER/disk.img ]] || return 1
    mkdir -p "$FOLDER/disk"
    is_mounted "$FOLDER/disk" || mount_disk
    [[ -f $FOLDER/disk/kept/glusterd.tar ]]
}

# remove_traces: what outlives a machine, and on which the next one of the same name fails. Its network namespace, and with
# it the link, stays as long as the kernel tries to deliver the last packets of connections that nobody holds any more.
remove_traces() {
    ip link delete "$LINK" 2>/dev/null || true
    wait_until 20 link_is_gone || fail "the link $LINK of $NAME does not go"
    rmdir "/run/systemd/nspawn/propagate/$MACHINE" 2>/dev/null || true
}

# is_supervisor PID: of this machine, wherever the checkout lay when it was started.
is_supervisor() { [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") == *"/supervise $LAB $NAME " ]]; }

# cut_link: no packet in or out, no goodbye.
cut_link() { ip link set "$LINK" down 2>/dev/null || link_is_gone; }
