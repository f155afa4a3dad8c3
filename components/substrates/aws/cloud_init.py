"""What an instance is told before its first boot, in cloud-init's words (its documentation, Module reference)."""

from __future__ import annotations

import json

from components.plan.topology import Role
from components.plan.traffic import METADATA

_SERVICES = {Role.LOAD_BALANCER: ("haproxy",), Role.PHP: ("nginx", "php-cluster-fpm@")}
"""What speaks with visitors."""


def user_data(role: Role, host_key_private: str, host_key_public: str) -> str:
    """The user data of a machine: a host key that is known already, and settings that its steps rely on."""
    files = {
        # Many nodes are set up through one balancer at the same time; the usual limit drops their connections.
        "/etc/ssh/sshd_config.d/php-cluster.conf": "MaxStartups 200\nMaxSessions 200\nPasswordAuthentication no\n",
        # The host key can be read from the instance's metadata: a page that is tricked into asking for it gets nothing.
        **{
            f"/etc/systemd/system/{service}.service.d/metadata.conf": f"[Service]\nIPAddressDeny={METADATA}\n"
            for service in _SERVICES[role]
        },
    }
    config = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key_private, "ed25519_public": host_key_public},
        "ssh_pwauth": False,
        "disable_root": True,
        # The first step names the machine and writes the brick hosts to /etc/hosts; a reboot must not take them away.
        "preserve_hostname": True,
        "manage_etc_hosts": False,
        "write_files": [{"path": path, "content": content} for path, content in files.items()],
    }
    return f"#cloud-config\n{json.dumps(config, indent=1)}\n"
