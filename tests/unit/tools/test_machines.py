"""How scripts reach machines."""

from pathlib import Path

from scripts.machines import Machines
from tests.unit.steps.test_pinned_ssh import settings


def test_a_machine_that_says_nothing_any_more_is_not_waited_for(tmp_path: Path) -> None:
    login = {"user": "admin", "host": "192.0.2.21", "through": ""}
    hosts = "192.0.2.21 ssh-ed25519 AAAA"
    outputs = {"machines": {"php1": {"login": login}}, "sshPrivateKey": "key", "knownHosts": hosts}
    *client, where, what = Machines("dev", outputs, tmp_path, 5).command("php1", "echo", "a b")
    assert settings(client)["serveraliveinterval"] == "15"
    assert (where, what) == ("admin@192.0.2.21", "sudo --non-interactive echo 'a b'")
