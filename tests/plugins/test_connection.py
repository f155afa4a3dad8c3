"""How commands reach a machine: keys, pinned host keys, retries, a proxy."""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
from cryptography.hazmat.primitives import serialization
from pulumi_command import remote

from tests.plugins.engine import Program, Stack
from tests.plugins.ssh_server import PASSWORD, Key, SshServer, free_port, make_key


def hello(*connections: tuple[str, remote.ConnectionArgs]) -> Program:
    """One command for each named connection."""

    def program() -> None:
        for name, connection in connections:
            pulumi.export(name, remote.Command(name, connection=connection, create="echo hello").stdout)

    return program


def everyone_said_hello(outputs: dict[str, str]) -> bool:
    return bool(outputs) and set(outputs.values()) == {"hello"}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of an SSH agent that knows no key yet."""
    path = tmp_path / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline, "ssh-agent does not start"
        time.sleep(0.01)
    yield path
    process.terminate()
    process.wait()


def pkcs8(key: Key) -> str:
    """The same key as the standard library of many languages writes it."""
    loaded = serialization.load_ssh_private_key(key.private.encode(), None)
    return loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_ways_to_log_in(stack: Stack, server: SshServer, agent: Path, tmp_path: Path) -> None:
    in_agent, unknown = make_key(tmp_path / "in_agent"), make_key(tmp_path / "unknown")
    locked = make_key(tmp_path / "locked", passphrase="word")
    subprocess.run(
        ["ssh-add", "-q", str(in_agent.path)],
        env={**os.environ, "SSH_AUTH_SOCK": str(agent)},
        check=True,
        capture_output=True,
    )
    server.authorize(server.user_key.public, in_agent.public, locked.public)
    good = {
        "openssh": server.connection(),
        "pkcs8": server.connection(private_key=pkcs8(server.user_key)),
        "locked": server.connection(private_key=locked.private, private_key_password="word"),
        "agent": server.connection(private_key=None, agent_socket_path=str(agent)),
        "believed": server.connection(host_key=None),
    }
    try:
        assert everyone_said_hello(stack.up(hello(*good.items())).outputs)
        via_environment = hello(("environment", server.connection(private_key=None)))
        assert everyone_said_hello(stack.up(via_environment, environment={"SSH_AUTH_SOCK": str(agent)}).outputs)

        once = {"dial_error_limit": 0}
        said = stack.fails(
            hello(
                ("unknown key", server.connection(private_key=unknown.private, **once)),
                ("locked", server.connection(private_key=locked.private)),
                ("nonsense", server.connection(private_key="no key")),
                ("no agent", server.connection(private_key=None, agent_socket_path=str(tmp_path / "none"))),
            ),
            keep_going=True,
        )
    finally:
        server.authorize(server.user_key.public)
    said.expect("unknown key", "unable to authenticate")
    said.expect("locked", "passphrase protected")
    said.expect("nonsense", "ssh: no key found")
    said.expect("no agent", "no such file or directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="only a server that runs as root can check passwords")
def test_passwords_and_the_default_user(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    unknown = make_key(tmp_path / "unknown")
    good = {
        "password": server.connection(private_key=None, password=PASSWORD),
        "password after key": server.connection(private_key=unknown.private, password=PASSWORD),
        "default user": server.connection(user=None),
    }
    assert everyone_said_hello(stack.up(hello(*good.items())).outputs)
    wrong = server.connection(private_key=None, password="guess", dial_error_limit=0)
    stack.fails(hello(("wrong", wrong))).expect("wrong", "unable to authenticate")


def test_a_wrong_host_key_is_refused(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    other, other_kind = make_key(tmp_path / "other"), make_key(tmp_path / "kind", kind="ecdsa")
    said = stack.fails(
        hello(
            ("wrong", server.connection(host_key=other.public)),
            ("other kind", server.connection(host_key=other_kind.public, dial_error_limit=0)),
            ("nonsense", server.connection(host_key="no key")),
        ),
        keep_going=True,
    )
    said.expect("wrong", "after 1 failed attempts", "host key mismatch")
    said.expect("other kind", "no common algorithm for host key")
    said.expect("nonsense", "failed to parse host key")


def test_dialling_is_repeated_and_limited(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    late = SshServer(tmp_path / "late", server.user_key)

    def turn_one_away_then_start(door: socket.socket) -> None:
        with door:
            door.accept()[0].close()
        late.start()

    starting = threading.Thread(target=turn_one_away_then_start, args=[socket.create_server(("127.0.0.1", late.port))])
    starting.start()
    try:
        run = stack.up(hello(("late", late.connection(dial_error_limit=20))))
    finally:
        starting.join()
        late.stop()
    assert everyone_said_hello(run.outputs)
    retries = [message for message in run.messages if "failed: retrying" in message.text]
    assert retries and all(message.passing for message in retries)
    assert retries[0].text == "Dial 1/20 failed: retrying"

    # A listener whose queue is full answers no further connection, as a machine that is off does.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        begin = time.monotonic()
        said = stack.fails(
            hello(
                ("refused", server.connection(port=free_port(), dial_error_limit=2)),
                ("at once", server.connection(port=free_port(), dial_error_limit=0)),
                ("silent", server.connection(port=full.getsockname()[1], per_dial_timeout=1)),
            ),
            keep_going=True,
        )
        assert time.monotonic() - begin < 10
    said.expect("refused", "after 2 failed attempts: dial tcp")
    said.expect("refused", "connection refused")
    said.expect("at once", "after 0 failed attempts: dial tcp")
    said.expect("silent", "after 1 failed attempts: dial tcp", "i/o timeout")


def test_defaults_are_filled_in(stack: Stack, server: SshServer) -> None:
    stack.up(hello(("step", server.connection(dial_error_limit=None))))
    connection = stack.resources()["step"]["inputs"]["connection"]
    given = json.loads(connection["plaintext"])
    assert (given["dialErrorLimit"], given["perDialTimeout"], given["host"]) == (10, 15, "127.0.0.1")


def test_through_a_proxy(stack: Stack, server: SshServer, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    proxy = SshServer(tmp_path / "proxy", key, forwards=True)
    proxy.start()

    def by(**changes: object) -> remote.ProxyConnectionArgs:
        known: dict[str, object] = {
            "host": "127.0.0.1",
            "port": proxy.port,
            "user": proxy.user,
            "private_key": key.private,
            "host_key": proxy.host_key.public,
            "dial_error_limit": 0,
            **changes,
        }
        return remote.ProxyConnectionArgs(**known)  # type: ignore[arg-type]

    try:
        assert everyone_said_hello(stack.up(hello(("step", server.connection(proxy=by())))).outputs)
        assert proxy.log().count("Accepted publickey") == 1
        said = stack.fails(
            hello(
                ("wrong proxy", server.connection(proxy=by(host_key=server.host_key.public))),
                ("no proxy", server.connection(proxy=by(port=free_port()))),
                (
                    "wrong host",
                    server.connection(proxy=by(), host_key=proxy.host_key.public, dial_error_limit=0),
                ),
                ("no host", server.connection(proxy=by(), port=free_port(), dial_error_limit=0)),
                (
                    "wrong host, twice",
                    server.connection(proxy=by(), host_key=proxy.host_key.public, dial_error_limit=1),
                ),
            ),
            keep_going=True,
        )
    finally:
        proxy.stop()
    said.expect("wrong proxy", "proxy: ", "host key mismatch")
    said.expect("no proxy", "proxy: ", "connection refused")
    said.expect("wrong host", "proxy: ", "host key mismatch")
    said.expect("no host", "proxy: ", "Connection refused")
    # The second handshake is tried on the tunnel of the first, which is closed by then.
    said.expect("wrong host, twice", "proxy: after 1 failed attempts: ")
    assert "mismatch" not in "".join(m.text for m in said.messages if m.resource == "wrong host, twice")
