"""OpenSSH with one key and pinned host keys: nothing of the user's own settings, agents or known hosts counts.

Scripts ask for it too, with the private key on standard input, and get the words with a zero byte after each:

  python3 components/steps/pinned_ssh.py FOLDER KNOWN_HOSTS CONNECT_SECONDS [THROUGH]
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def options(known_hosts: Path, connect_seconds: int) -> list[str]:
    """What every client is told, whatever its key: no settings of one's own, and no other host key than those.

    Args:
        known_hosts: A known_hosts file; another host, or another key, is refused.
        connect_seconds: How long a machine may take to answer.
    """
    told = {
        "UserKnownHostsFile": f'"{known_hosts}"',
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": str(connect_seconds),
        "LogLevel": "ERROR",
        # What pulumi-command agrees on too. OpenSSH's own first choice costs twice as much of both processors' time
        # (0.30 to 0.15 s for a session), and every run of the program asks every machine.
        "KexAlgorithms": "^curve25519-sha256",
    }
    return ["-F", "none", *[f"-o{key}={value}" for key, value in told.items()]]


def ssh_command(folder: Path, private_key: str, known_hosts: str, connect_seconds: int, through: str = "") -> list[str]:
    """The words to put before `user@host` and what runs there; it never asks, and says nothing but errors.

    Args:
        folder: An empty one that nobody else can enter, which must stay as long as the command runs.
        private_key: To log in with, in OpenSSH's format.
        known_hosts: Lines of a known_hosts file; another host, or another key, is refused.
        connect_seconds: How long a machine may take to answer.
        through: `user@host` of a machine to go through, which takes the same key; empty to go directly.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    identity, hosts = folder / "key", folder / "known_hosts"
    identity.touch(mode=0o600)
    identity.write_text(private_key)
    hosts.write_text(known_hosts.rstrip("\n") + "\n")
    direct = ["ssh", *options(hosts, connect_seconds), "-i", str(identity)]
    if not through:
        return direct
    # Spelt out: ProxyJump would ask the user's own settings and known hosts.
    return [*direct, f"-oProxyCommand={shlex.join([*direct, '-W', '[%h]:%p', through])}"]


def main() -> None:
    """Prints the words for a script."""
    folder, known_hosts, seconds, *through = sys.argv[1:]
    words = ssh_command(Path(folder), sys.stdin.read(), known_hosts, int(seconds), *through)
    sys.stdout.write("".join(f"{word}\0" for word in words))


if __name__ == "__main__":
    main()
