"""The two PHPs on a node that answer tests: stock, as Debian ships it, and the product's own."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.steps.pinned_ssh import ssh_command
from tests.php.fastcgi import Answer, Request, ask
from tests.php.source import Package
from tests.stack.cluster import Cluster, wait_for

STOCK, PRODUCT = "stock", "product"
_SCRIPT = Path(__file__).with_name("pools.sh")
_FOLDER = "/var/tmp/phpt"  # on the node, and root's


@dataclass(frozen=True)
class Pool:
    """One of the two.

    Attributes:
        name: `stock` or `product`.
        socket: Where it listens, brought to this box.
        root: Its copy of the tests, on the node.
    """

    name: str
    socket: Path
    root: str

    def ask(self, request: Request, limit: float) -> Answer:
        """Puts one request to it; what TimeoutError and OSError mean is said in fastcgi.py."""
        return ask(self.socket, request, limit)


class Node:
    """A PHP node of a cluster, reached by SSH with the stack's own key."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        outputs = cluster.outputs()
        login = outputs["machines"][name]["login"]
        ssh = ssh_command(folder / "ssh", outputs["sshPrivateKey"], outputs["knownHosts"], 10, login["through"] or "")
        self._login = [*ssh, f"{login['user']}@{login['host']}"]
        self._folder = folder

    def run(self, command: str, stdin: bytes = b"") -> str:
        """Runs a command there; that it succeeds is asserted."""
        done = subprocess.run([*self._login, command], input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="backslashreplace")
        return done.stdout.decode()

    def start(self) -> Package:
        """Starts both pools, and says of which source package their PHP is."""
        return Package(*self.run("bash -s up", _SCRIPT.read_bytes()).split())

    def sources(self) -> dict[str, str]:
        """Where packages come from there, as apt has it in files that end in `list` and in `sources`."""
        kinds = {"list": "sources.list sources.list.d/*.list", "sources": "sources.list.d/*.sources"}
        # With an empty line after each file: it ends what is said in paragraphs.
        read = "cd /etc/apt && for file in {}; do [ ! -f $file ] || {{ cat $file; echo; }}; done"
        return {kind: self.run(read.format(names)) for kind, names in kinds.items()}

    def put(self, files: Mapping[str, bytes]) -> None:
        """Gives each pool a copy of these files, in which its PHP may write."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        for pool in (STOCK, PRODUCT):
            folder = f"{_FOLDER}/{pool}"
            unpack = f"mkdir -p {folder} && tar --extract --directory {folder} && chown --recursive www-data: {folder}"
            self.run(unpack, packed.getvalue())

    @contextmanager
    def pools(self) -> Iterator[list[Pool]]:
        """Both, for as long as the block lasts."""
        pools = [Pool(name, self._folder / f"{name}.sock", f"{_FOLDER}/{name}") for name in (STOCK, PRODUCT)]
        forwards = [f"-L{pool.socket}:/run/phpt/{pool.socket.name}" for pool in pools]
        ssh, user = self._login[:-1], self._login[-1]
        with subprocess.Popen([*ssh, "-N", "-oExitOnForwardFailure=yes", *forwards, user]) as tunnel:
            try:
                wait_for("the pools are reached", lambda: all(pool.socket.exists() for pool in pools))
                yield pools
            finally:
                tunnel.terminate()
                for pool in pools:
                    pool.socket.unlink(missing_ok=True)

    def stop(self) -> None:
        """Ends both pools."""
        self.run("bash -s down", _SCRIPT.read_bytes())
