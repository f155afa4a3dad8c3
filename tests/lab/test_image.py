"""The image: nothing that starts by itself, nobody's identity."""

import shlex
import shutil
import subprocess
from pathlib import Path

from tests.commands import PROJECT, said
from tests.lab.conftest import Image
from tests.release import RELEASE


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
    done = image.run(
        f"command -v glusterd mount.glusterfs haproxy keepalived nginx php-fpm{RELEASE.php} sshd nft xfs_info"
    )
    assert done.returncode == 0, done.stdout


def test_it_can_be_made_from_a_folder_of_any_name(tmp_path: Path) -> None:
    """Only as far as to the project's own part, in a tree that mmdebstrap makes of nothing."""
    lab = tmp_path / "it's a folder"
    shutil.copytree(PROJECT / "scripts" / "lab", lab / "scripts" / "lab")
    (lab / "scripts" / "lab" / "image-finish").write_text('#!/bin/sh\necho "finished $1" >"$(dirname "$0")/said"\n')
    (lab / "scripts" / "lab" / "check").write_text("#!/bin/sh\n")
    # What mmdebstrap does with its hooks, by its manual: the shell's own, with the tree as the argument.
    (lab / "mmdebstrap").write_text(
        "#!/bin/bash\nset -eu\n"
        "for word; do [[ $word != --customize-hook=* ]] || hook=${word#*=}; done\n"
        'root=$(printf "%s\\n" "$@" | grep /.partial-)\nmkdir -p "$root"\n'
        'sh -c "$hook" exec "$root"\n'
    )
    (lab / "mmdebstrap").chmod(0o755)
    environment = f"PATH={shlex.quote(str(lab))}:$PATH SUITE=bookworm PACKAGES=x"
    script = f"mount -t tmpfs none /var/lib; export {environment}; scripts/lab/image up"
    made = said("unshare", "--mount", "bash", "-euc", script, folder=lab).splitlines()[-1]
    assert made.startswith("/var/lib/php-cluster/images/")
    assert (lab / "scripts" / "lab" / "said").read_text().startswith("finished /var/lib/php-cluster/images/.partial-")
