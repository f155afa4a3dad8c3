"""What the first step of a machine writes, with programs in place of those that would change this box."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.commands import PROJECT

TABLE = "192.0.2.11 lb1\n192.0.2.12 lb2\n"
OURS = f"# php-cluster: brick hosts\n{TABLE}# php-cluster: end\n"
# As Debian 12 has it, shortened.
TEMPLATE = "## template:jinja\n127.0.1.1 {{fqdn}} {{hostname}}\n127.0.0.1 localhost\n"

PROGRAMS = {
    "hostname": "echo lb1",
    "dpkg-query": "true",
    "nft": "true",
    "systemctl": "echo 'NeedDaemonReload=no ActiveState=active'",
    "mountpoint": "exit 1",
}


def process(machine: Path, name: str) -> None:
    """One that runs there, alone."""
    comm = machine / "proc/7/comm"
    comm.parent.mkdir(parents=True, exist_ok=True)
    comm.write_text(f"{name}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name, body in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    process(tmp_path, "systemd-timesyn")
    (wants / "php-cluster-packet-filter.service").symlink_to("../php-cluster-packet-filter.service")
    (tmp_path / "etc/hosts").write_text("127.0.1.1 old\n127.0.0.1 localhost\n")
    return tmp_path


def with_cloud_init(machine: Path) -> Path:
    for folder in ("cloud.cfg.d", "templates"):
        (machine / "etc/cloud" / folder).mkdir(parents=True)
    template = machine / "etc/cloud/templates/hosts.debian.tmpl"
    template.write_text(TEMPLATE)
    return template


def script(machine: Path, *files: str) -> str:
    text = "".join((PROJECT / "scripts" / file).read_text() for file in files)
    for place in ("/etc/", "/proc/[", "/run/php-cluster", "/run/systemd/", "/var/lib/"):
        text = text.replace(place, f"{machine}{place}")
    return text.replace("root:root", f"{machine.owner()}:{machine.group()}")


def run_install(machine: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{"STEP": "lb1-install", "PATH": f"{machine}:{os.environ['PATH']}", "HOST_NAME": "lb1", "HOST_TABLE": TABLE},
        **{"PACKAGES": "", "PACKET_FILTER": "", "EXACT": "yes", "PACKET_FILTER_SERVICE": "", "NFTABLES_DROP_IN": ""},
        **{"LOG_DAYS": "14", **variables},
    }
    text = script(machine, "hosts/steps/lib.sh", "hosts/base/lib.sh", "hosts/base/install.sh")
    return subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def install(machine: Path, **variables: str) -> str:
    done = run_install(machine, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_names_come_after_what_is_there(machine: Path) -> None:
    install(machine)
    assert (machine / "etc/hosts").read_text() == f"127.0.1.1 old\n127.0.0.1 localhost\n{OURS}"
    assert install(machine) == "0 packages installed (nothing to change)\n"
    assert not (machine / "etc/cloud").exists()
    (machine / "etc/hosts").write_text(f"192.0.2.1 gateway\n{OURS}192.0.2.2 printer\n".replace(".11", ".99"))
    install(machine)
    assert (machine / "etc/hosts").read_text() == (f"127.0.0.1 localhost\n192.0.2.1 gateway\n192.0.2.2 printer\n{OURS}")


def test_a_file_that_is_a_mount_is_written_where_it_is(machine: Path) -> None:
    (machine / "mountpoint").write_text("#!/bin/sh\nexit 0\n")
    before = (machine / "etc/hosts").stat().st_ino
    assert "writes the brick hosts to " in install(machine)
    assert (machine / "etc/hosts").stat().st_ino == before and OURS in (machine / "etc/hosts").read_text()
    assert install(machine) == "0 packages installed (nothing to change)\n"


def test_names_outlast_a_boot_with_cloud_init(machine: Path) -> None:
    template = with_cloud_init(machine)
    install(machine)
    settings = (machine / "etc/cloud/cloud.cfg.d/99-php-cluster.cfg").read_text()
    assert "\npreserve_hostname: true\nmanage_etc_hosts: false\n" in settings
    # Where the provider's own word counts more, this is what it makes at the next boot.
    rendered = template.read_text().removeprefix("## template:jinja\n").replace("{{fqdn}} {{hostname}}", "lb1 lb1")
    (machine / "etc/hosts").write_text(rendered)
    assert rendered.endswith(OURS)
    assert install(machine) == "0 packages installed (nothing to change)\n"


CLOCKLESS = {
    "dpkg-query": "echo chrony installed",
    "systemctl": "echo \"$*\" >>${0%/*}/asked; echo 'NeedDaemonReload=no ActiveState=active'",
}


def without_clock(machine: Path) -> None:
    process(machine, "bash")
    for name, body in CLOCKLESS.items():
        (machine / name).write_text(f"#!/bin/sh\n{body}\n")


def test_chrony_sets_a_clock_that_nobody_sets(machine: Path) -> None:
    without_clock(machine)
    servers = machine / "etc/chrony/sources.d/php-cluster.sources"
    assert "has chrony set the clock, which nothing does" in install(machine)
    assert "enable --quiet --no-reload chrony" in (machine / "asked").read_text() and not servers.exists()
    (machine / "etc/systemd/system/multi-user.target.wants/chrony.service").symlink_to("chrony.service")
    install(machine, TIME_SERVERS="ntp.example.org 192.0.2.1")
    assert servers.read_text() == "server ntp.example.org iburst prefer\nserver 192.0.2.1 iburst prefer\n"
    # It sets the clock now.
    process(machine, "chronyd")
    assert "nothing to change" in install(machine, TIME_SERVERS="ntp.example.org 192.0.2.1")
    install(machine)
    assert not servers.exists() and "nothing to change" in install(machine)


@pytest.mark.parametrize("name", ["chronyd", "ntpd", "systemd-timesyn", "phc2sys", "ptp4l", "timemaster"])
def test_a_clock_that_is_set_gets_no_second_hand(machine: Path, name: str) -> None:
    without_clock(machine)
    process(machine, name)
    assert "chrony" not in install(machine)


@pytest.mark.parametrize("status", [0, 69])
def test_tools_of_vmware_say_whether_they_set_the_clock(machine: Path, status: int) -> None:
    without_clock(machine)
    process(machine, "vmtoolsd")
    (machine / "vmware-toolbox-cmd").write_text(f'#!/bin/sh\n[ "$*" = "timesync status" ] && exit {status}\n')
    (machine / "vmware-toolbox-cmd").chmod(0o755)
    assert ("has chrony set the clock" in install(machine)) == (status != 0)


def test_chrony_is_ours_when_it_is_there(machine: Path) -> None:
    without_clock(machine)
    ours = machine / "var/lib/php-cluster/own-chrony"
    for name, body in {"dpkg-query": "true", "apt-cache": "true", "apt-get": "echo E: no route >&2; exit 1"}.items():
        (machine / name).write_text(f"#!/bin/sh\n{body}\n")
        (machine / name).chmod(0o755)
    done = run_install(machine)
    assert done.returncode == 1 and "chrony is wanted because nothing sets this machine's clock" in done.stderr
    assert not ours.exists()
    # With another package that cannot be installed it is ours all the same.
    (machine / "apt-get").write_text('#!/bin/sh\ncase "$*" in *nginx*) exit 1 ;; esac\n')
    done = run_install(machine, PACKAGES="nginx")
    assert done.returncode == 1 and "apt-get could not install nginx chrony" in done.stderr
    assert ours.exists()


def test_a_container_has_the_clock_of_its_host(machine: Path) -> None:
    without_clock(machine)
    (machine / "run/systemd").mkdir(parents=True)
    (machine / "run/systemd/container").touch()
    assert "chrony" not in install(machine)


def test_cloud_init_gets_its_files_back(machine: Path) -> None:
    template = with_cloud_init(machine)
    hosts = (machine / "etc/hosts").read_text()
    install(machine)
    (machine / "run").mkdir(exist_ok=True)
    leave = script(machine, "existing/leave").removesuffix("main\n")
    subprocess.run(["bash", "-s"], input=f"{leave}forget_names\n", text=True, check=True)
    assert template.read_text() == TEMPLATE and (machine / "etc/hosts").read_text() == hosts
    assert list((machine / "etc/cloud/cloud.cfg.d").iterdir()) == []
