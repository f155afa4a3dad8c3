"""The line of /etc/fstab."""

from components.php.mount import fstab_line
from components.plan.topology import Profile


def test_fstab_lines() -> None:
    assert fstab_line(Profile.ARTICLE) == "lb1:/sessions /media/sessions glusterfs defaults,_netdev 0 0"
    device, place, kind, options, *numbers = fstab_line(Profile.SAFE).split()
    assert (device, place, kind, numbers) == ("lb1:/sessions", "/media/sessions", "glusterfs", ["0", "0"])
    assert {"_netdev", "backup-volfile-servers=lb2", "direct-io-mode=enable", "auto-invalidation=on"} <= set(
        options.split(",")
    )
