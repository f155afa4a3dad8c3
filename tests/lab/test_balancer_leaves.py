"""What a balancer that scripts/upgrade replaces leaves on its brick disk, and the machine in its place takes over."""

import pytest

from scripts.backup_cluster import LAST_BACKUP
from tests.commands import PROJECT
from tests.lab.conftest import Image

# Daemons are not of interest here.
SETUP = f"""
mkdir -p /session /var/lib/glusterd/{{peers,vols}} "$(dirname {LAST_BACKUP})"
echo UUID=1 >/var/lib/glusterd/glusterd.info
source /files/machine_upgrade.sh
systemctl() {{ :; }}
pgrep() {{ false; }}
changing() {{ echo "$1"; }}
take_over() {{ eval "$(sed --quiet '/^kept=/,/^fi/p' /files/hosts/gluster/brick.sh)"; }}
new_machine() {{ rm -rf {LAST_BACKUP} /var/lib/glusterd; }}
"""


@pytest.mark.parametrize(("before", "known"), [(f"echo 1796000000 >{LAST_BACKUP}", "1796000000"), ("", "nothing")])
def test_the_note_of_the_last_backup_goes_along(image: Image, before: str, known: str) -> None:
    after = f"leave; new_machine; take_over; cat /var/lib/glusterd/glusterd.info; cat {LAST_BACKUP} || echo nothing"
    done = image.run(f"{SETUP}\n{before}\n{after}\nls -A /session | wc --lines", files=PROJECT / "scripts")
    said = [line for line in done.stdout.splitlines() if not line.startswith(("Attempted to remove disk", "cat: "))]
    assert said == ["takes over the sessions that an earlier stack left", "UUID=1", known, "0"], done.stdout
