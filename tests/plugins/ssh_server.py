"""An SSH server of the tests' own: the box's sshd on a free port of the loopback interface.

As root it runs in a mount namespace in which /run and /etc/shadow are others, so that it needs no running
service, knows a password, and changes nothing on the box. As another user it serves that user, by key alone.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from pulumi_command import remote

SSHD = Path("/usr/sbin/sshd")
PASSWORD = "correct horse"
START_LIMIT_SECONDS = 10

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
AllowTcpForwarding {forwarding}
AcceptEnv {accepted}
# A bash inside another one reads no start-up file: what the box's ~/.bashrc says or costs is no part of these tests.
SetEnv SHLVL=1
MaxStartups 200
MaxSessions 200
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""

# $1 is the account file, $2 the configuration.
_NAMESPACE = """\
mount -t tmpfs none /run && mkdir /run/sshd && mount --bind "$1" /etc/shadow && exec {sshd} -D -e -f "$2"
"""


@dataclass(frozen=True)
class Key:
    """A key pair in a file of its own."""

    path: Path

    @property
    def private(self) -> str:
        return self.path.read_text()

    @property
    def public(self) -> str:
        """One line, as in authorized_keys, without the comment."""
        return " ".join(Path(f"{self.path}.pub").read_text().split()[:2])


def make_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Key:
    """A key in OpenSSH's format."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return Key(path)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class SshServer:
    """A server that may be started and stopped; its port stays."""

    folder: Path
    user_key: Key
    accepted: str = "TAKEN_* PULUMI_COMMAND_STDOUT"
    """Names of the variables that a client may set: AcceptEnv."""
    forwards: bool = False
    """Serves as a proxy."""
    port: int = field(default_factory=free_port)
    user: str = field(default_factory=getpass.getuser)

    def __post_init__(self) -> None:
        if not SSHD.exists():
            raise AssertionError(f"{SSHD} is missing: `make test` installs openssh-server without starting its service")
        self.folder.mkdir()
        self.host_key = make_key(self.folder / "host_key")
        self.authorize(self.user_key.public)
        (self.folder / "sshd_config").write_text(
            _CONFIG.format(
                port=self.port,
                folder=self.folder,
                accepted=self.accepted,
                forwarding="yes" if self.forwards else "no",
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def authorize(self, *public_keys: str) -> None:
        """These keys and no others may log in from now on."""
        (self.folder / "authorized_keys").write_text("\n".join(public_keys) + "\n")

    def start(self) -> None:
        command = [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if os.geteuid() == 0:
            script = _NAMESPACE.format(sshd=SSHD)
            command = ["unshare", "--mount", "sh", "-c", script, "sh", str(self._accounts()), command[-1]]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"sshd does not start:\n{self.log()}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def _accounts(self) -> Path:
        """A copy of the box's accounts in which root has the password of these tests."""
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
        ).stdout.strip()
        lines = Path("/etc/shadow").read_text().splitlines()
        changed = [f"root:{hashed}:19000:0:99999:7:::" if line.startswith("root:") else line for line in lines]
        accounts = self.folder / "shadow"
        accounts.touch(mode=0o600)
        accounts.write_text("\n".join(changed) + "\n")
        return accounts

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def connection(self, **changes: object) -> remote.ConnectionArgs:
        """The user's key, the pinned host key, one retry. `changes` replace parts; None leaves one out."""
        arguments: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "private_key": self.user_key.private,
            "host_key": self.host_key.public,
            "dial_error_limit": 1,
            **changes,
        }
        return remote.ConnectionArgs(
            **{name: value for name, value in arguments.items() if value is not None}  # type: ignore[arg-type]
        )
