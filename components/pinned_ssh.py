"""OpenSSH with one key and pinned host keys: nothing of the user's own settings, agents or known hosts counts."""

from __future__ import annotations

from pathlib import Path


def ssh_command(folder: Path, private_key: str, known_hosts: str, connect_seconds: int) -> list[str]:
    """The words to put before `user@host` and what runs there; it never asks, and says nothing but errors.

    Args:
        folder: An empty one that nobody else can enter, which must stay as long as the command runs.
        private_key: To log in with, in OpenSSH's format.
        known_hosts: Lines of a known_hosts file; another host, or another key, is refused.
        connect_seconds: How long a machine may take to answer.
    """
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
    }
    return ["ssh", "-F", "none", "-i", str(identity), *[f"-o{key}={value}" for key, value in options.items()]]
