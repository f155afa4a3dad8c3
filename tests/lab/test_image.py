"""The image: nothing that starts by itself, nobody's identity."""

import subprocess

from tests.lab.conftest import Image


def test_only_ssh_and_the_network_start_by_themselves(image: Image) -> None:
    listed = subprocess.run(
        ["systemctl", f"--root={image.folder}", "list-unit-files", "--state=enabled", "--no-legend", "--no-pager"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    enabled = {line.split()[0] for line in listed.splitlines()}
    assert "ssh.service" in enabled and "systemd-networkd.service" in enabled
    expected = ("ssh", "systemd-network", "dbus-org.freedesktop.network1")
    assert [unit for unit in enabled if not unit.startswith(expected)] == []


def test_it_is_nobody(image: Image) -> None:
    assert (image.folder / "etc/machine-id").read_text() == ""
    assert not list(image.folder.glob("etc/ssh/ssh_host_*_key*"))
    assert not (image.folder / "var/lib/glusterd/glusterd.info").exists()
    assert not (image.folder / "etc/hostname").exists()


def test_it_has_what_the_roles_need(image: Image) -> None:
    done = image.run("command -v glusterd mount.glusterfs haproxy keepalived nginx php-fpm8.2 sshd nft xfs_info")
    assert done.returncode == 0, done.stdout
