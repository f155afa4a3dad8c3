"""OpenSSH with one key and pinned host keys: nothing of the user's own settings, agents or known hosts counts."""

from __future__ import annotations

import shlex
from pathlib import Path


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
    options = {
        "UserKnownHostsFile": str(hosts),
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": str(connect_seconds),
        "LogLevel": "ERROR",
        # What pulumi-command agrees on too. OpenSSH's own first choice costs twice as much of both processors' time
        # (0.30 to 0.15 s for a session), and every run of the program asks every machine.
        "KexAlgorithms": "^curve25519-sha256",
    }
    direct = ["ssh", "-F", "none", "-i", str(identity), *[f"-o{key}={value}" for key, value in options.items()]]
    if not through:
        return direct
    # Spelt out: ProxyJump would ask the user's own settings and known hosts.
    return [*direct, f"-oProxyCommand={shlex.join([*direct, '-W', '[%h]:%p', through])}"]
