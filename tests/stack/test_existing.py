"""A cluster on a user's own machines, of both releases: looked at first, used, given back, and taken over again."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from components.plan.debian import RELEASES
from components.plan.own_updates import Clash
from tests.stack.cluster import Cluster, Visitor
from tests.stack.own_machines import USER, OwnMachines, own_machines

MACHINES = (1, 2, 3)
OTHERS = (4, 5)
# lb2 and php2 differ from lb1 and php1. The successor of lb2 runs what lb1 does.
RELEASE_OF = dict.fromkeys((1, 3, 5), RELEASES[12]) | dict.fromkeys((2, 4), RELEASES[13])
PACKAGES = {
    1: "haproxy keepalived glusterfs-server",
    2: "haproxy keepalived glusterfs-server",
    3: "nginx-light php-fpm",
    4: "nginx-light php-fpm",
    5: "haproxy keepalived glusterfs-server",
}

UPDATES_ITSELF = """\
apt-get update --quiet --quiet
apt-get install --yes --quiet --quiet --no-install-recommends unattended-upgrades >/dev/null 2>&1
systemctl start apt-daily-upgrade.timer
"""

# Every trace that a cluster could leave on a machine; `true` so that none is no failure.
TRACES = r"""
ls -d /etc/php-cluster /usr/lib/php-cluster /var/lib/php-cluster /run/php-cluster /srv/site /session /media/sessions \
    /run/php-cluster-steps /var/tmp/php-cluster-* /var/lib/glusterd/vols/* /var/lib/glusterd/peers/* \
    /var/lib/glusterd/secure-access /etc/ssl/glusterfs.* /usr/lib/ssl/glusterfs.* \
    2>/dev/null
find /etc/systemd /etc/php /etc/nginx /etc/sysctl.d /etc/cloud -name '*php-cluster*' 2>/dev/null
grep --recursive --files-with-matches php-cluster /etc/hosts /etc/fstab /etc/haproxy /etc/keepalived
nft list tables | grep php_cluster
grep -E ' /session| /media/sessions' /proc/self/mounts
ps -eo comm= | grep -E '^(haproxy|keepalived|gluster|nginx|php-fpm)'
systemctl list-units --all --plain --no-legend 'php-cluster*' '*session*.mount'
systemctl is-enabled haproxy keepalived glusterd nginx 2>/dev/null | grep --line-regexp enabled
dpkg-divert --list '*gsyncd'
true
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[OwnMachines]:
    with own_machines("test-own-machines", len(MACHINES) + len(OTHERS), RELEASE_OF) as made:
        yield made


def problems_of(cluster: Cluster, *arguments: str) -> str:
    done = cluster.pulumi(*arguments, "--stack", cluster.name, check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def test_all_that_is_wrong_is_said_at_once(machines: OwnMachines, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "state", machines.config((1, 2), (3,), tmp_path))
    # The box has it.
    cluster.configure({"floatingIp": f"{machines.base}1", "floatingIp6": "2001:db8::10"})
    machines.enter(
        1,
        "mv /etc/os-release /root; echo 'ID=devuan VERSION_ID=5 PRETTY_NAME=\"Devuan 5\"' >/etc/os-release",
    )
    machines.enter(2, f"mv /etc/sudoers.d/{USER} /root")
    machines.enter(3, "touch /root/file; mount --bind /root/file /dev/fuse; systemctl start nginx")
    for number in (1, 3):
        machines.enter(number, UPDATES_ITSELF)
    try:
        for command in (["preview"], ["up", "--yes", "--skip-preview"]):
            said = problems_of(cluster, *command)
            assert "7 things are in the way on your machines; nothing was changed" in said, said
            for name, number, what, key in (
                ("lb1", 1, "it runs Devuan 5", "existing.balancers[0]"),
                ("lb1", 1, f"somebody else has {machines.base}1", "floatingIp"),
                ("lb1", 1, "2001:db8::10 is in no network of host0", "floatingIp6"),
                ("lb2", 2, "ops may not use sudo without a password", "existing.user"),
                ("php1", 3, "it has no FUSE", "existing.nodes[0]"),
                ("php1", 3, "nginx listens on port 80", "existing.nodes[0]"),
                (
                    "php1",
                    3,
                    "unattended-upgrades may restart what runs on it in one",
                    "existing.nodes[0]",
                ),
            ):
                assert f"{name} ({machines.address(number)}): {what}" in said, said
                assert f"php-cluster:{key}: " in said, said
        # Known by another key than the pinned one, and not there at all.
        cluster.configure(
            {
                "existing.nodes[0].hostKey": machines.host_key(1),
                "existing.balancers[1].address": machines.address(9),
            }
        )
        said = problems_of(cluster, "up", "--yes", "--skip-preview")
        assert f"php1 ({machines.address(3)}): its SSH host key is another one" in said, said
        assert f"lb2 ({machines.address(9)}): it cannot be reached" in said, said
        assert [machines.enter(number, "ls -A /etc/php-cluster 2>/dev/null; true") for number in MACHINES] == [""] * 3
    finally:
        machines.enter(1, "mv /root/os-release /etc")
        machines.enter(2, f"mv /root/{USER} /etc/sudoers.d")
        machines.enter(3, "umount /dev/fuse; systemctl stop nginx")
        # With an hour of its own it may go on.
        machines.enter(3, Clash("lb1", 2).remedy)
        cluster.remove()


def test_a_preview_needs_no_machine(machines: OwnMachines, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "state", machines.config((1, 2), (3,), tmp_path))
    cluster.configure({"existing.privateKeyFile": "no/such/key"})
    said = cluster.pulumi("preview", "--stack", cluster.name).stdout
    assert "the machines are not looked at: php-cluster:existing.privateKeyFile, no/such/key, is not here" in said
    assert "volume-create" in said
    key = str(tmp_path / "login-key")
    cluster.configure(
        {
            "existing.privateKeyFile": key,
            "existing.bastion.host": machines.address(9),
            "existing.bastion.hostKey": machines.host_key(9),
        }
    )
    said = cluster.pulumi("preview", "--stack", cluster.name).stdout
    assert "lb1, lb2, php1 cannot be reached from here: what they are like is not checked" in said, said
    cluster.remove()


def test_up_and_destroy_and_up_again(machines: OwnMachines, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "state", machines.config((1, 2), (3,), tmp_path))
    try:
        cluster.up()
        visitor = cluster.visitor()
        assert [visitor.visit()["counter"] for _ in range(3)] == [1, 2, 3]
        assert cluster.visitor6().visit()["counter"] == 1
        assert cluster.owners_of_floating_ip("floatingIp6") == cluster.owners_of_floating_ip()
        said = cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name).stdout
        assert "warning" not in said, said
        assert cluster.ssh("php1", "whoami").strip() == USER
        status = cluster.status("--seconds", "60")
        assert status.returncode == 0
        # Debian's own hour, in the time zone of the machines; and the one that it was given.
        assert "lb1: unattended-upgrades installs updates, 06:00 to 07:30 UTC" in status.stdout, status.stdout
        assert "php1: unattended-upgrades installs updates, 02:00 to 03:00 UTC" in status.stdout, status.stdout

        cluster.destroy()
        given_back(machines)
        assert machines.enter(1, "ls /data/brick | wc --lines") != "0"

        # Root this time, by way of one of the machines, and the others take no login from here.
        for number in MACHINES:
            machines.enter(number, "rm /etc/ssh/sshd_config.d/00-root.conf; systemctl reload ssh")
        for number in (2, 3):
            machines.enter(number, f"nft add rule inet mine input ip saddr {machines.base}1 tcp dport 22 drop")
        cluster.configure(
            {
                "existing.user": "root",
                "existing.bastion.host": machines.address(1),
                "existing.bastion.user": USER,
                "existing.bastion.hostKey": machines.host_key(1),
            }
        )
        said = cluster.up()
        assert "takes over the sessions that an earlier stack left" in said, said
        assert "volume sessions exists" in said, said
        goes_on(cluster, visitor)
        cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
        assert cluster.ssh("lb2", "whoami").strip() == "root"

        cluster.configure({"existing.deleteSessionsOnDestroy": "true"})
        said = cluster.up()
        assert "3 updated" in said, said
        cluster.destroy()
        given_back(machines)
        assert [machines.enter(number, "ls -A /data") for number in MACHINES] == [""] * 3
    finally:
        cluster.remove()


def test_a_balancer_moves_to_another_machine_and_a_node_leaves_in_one_update(
    machines: OwnMachines, tmp_path: Path
) -> None:
    first, second, php1, php2, new = (*MACHINES, *OTHERS)
    for number in MACHINES:
        # As it was before the test above.
        machines.enter(number, "nft flush chain inet mine input; nft add rule inet mine input tcp dport 9999 drop")
    cluster = Cluster(tmp_path / "state", machines.config((first, second), (php1, php2), tmp_path))
    try:
        cluster.up()
        visitor = cluster.visitor()
        assert [visitor.visit()["counter"] for _ in range(3)] == [1, 2, 3]
        cluster.configure(
            {
                "existing.balancers[1].address": machines.address(new),
                "existing.balancers[1].hostKey": machines.host_key(new),
            }
        )
        cluster.pulumi("config", "rm", "--path", "existing.nodes[1]", "--stack", cluster.name)
        cluster.up()
        cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name)
        goes_on(cluster, visitor)
        given_back(machines, (second, php2))
        # It has the old one's place in the pool, and its brick is full.
        heal = cluster.ssh("lb1", "sudo gluster volume heal sessions info")
        assert heal.count("Status: Connected") == 2 and heal.count("Number of entries: 0") == 2, heal
        session = f"/session/brick/sess_{visitor.cookie.split('=')[1]}"
        assert len({machines.enter(number, f"sha256sum <{session}") for number in (first, new)}) == 1

        cluster.destroy()
        given_back(machines, (first, php1, new))
    finally:
        cluster.remove()


def goes_on(cluster: Cluster, visitor: Visitor) -> None:
    before, visitor.url = visitor.count, cluster.outputs()["url"]
    assert visitor.visit()["counter"] == before + 1


def given_back(machines: OwnMachines, numbers: Iterable[int] = MACHINES) -> None:
    """The machines are as before, but for their packages and what is on the bricks."""
    for number in numbers:
        assert machines.enter(number, TRACES) == "", f"m{number}"
        assert machines.enter(number, "hostname; cat /etc/hostname").split() == [f"m{number}", f"m{number}"]
        assert "dport 9999 drop" in machines.enter(number, "nft list table inet mine")
        installed = machines.enter(
            number, f"dpkg-query --show --showformat='${{db:Status-Status}} ' {PACKAGES[number]}"
        )
        assert set(installed.split()) == {"installed"}
        addresses = machines.enter(number, "ip -oneline address")
        assert f"{machines.base}10/" not in addresses and f"{machines.floating_ip6}/" not in addresses
