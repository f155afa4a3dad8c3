"""An emulated cloud, in one process and a network of its own: an EC2 and IAM API, and instances that answer SSH.

The API is moto's. An instance is a server at its addresses, public and private, that has the host key of its user data
and takes the key pair it was launched with, as a Debian image with cloud-init would; it answers from its launch to its
end, and what reaches it by way of another one was really forwarded there. It does not run the steps that it is sent:
bash reads them for errors, the rest of their work is judged on real machines in tests/stack.

A request may be refused before moto sees it: `POST /emulator/refuse {"action": …, "code": …, "message": …}`, and
`{"action": …}` alone takes that back. `GET /emulator/steps` gives what instances were told.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

import asyncssh
import moto.backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

PORT = 5000
ACCOUNT = "123456789012"
USER = "admin"

steps: list[dict[str, str]] = []
refusals: dict[str, dict[str, str]] = {}
calls: dict[str, int] = {}
login_keys: dict[str, str] = {}


def instances() -> list[Any]:
    """All instances that run, of every region."""
    regions = moto.backends.get_backend("ec2")[ACCOUNT]
    return [
        instance
        for backend in list(regions.values())
        for reservation in list(backend.reservations.values())
        for instance in reservation.instances
        if instance.state == "running"
    ]


def name_of(instance: Any) -> str:
    """The tag that names it, else its id."""
    return str(next((tag["value"] for tag in instance.get_tags() if tag["key"] == "Name"), instance.id))


def instance_at(address: str) -> Any | None:
    """The instance that has this address, private or elastic."""
    for instance in instances():
        for interface in instance.nics.values():
            if address in [one["PrivateIpAddress"] for one in interface.private_ip_addresses]:
                return instance
            for elastic in interface.ec2_backend.addresses:
                if elastic.public_ip == address and elastic.eni is interface:
                    return instance
    return None


class Login(asyncssh.SSHServer):
    """Takes the key pair of the launch, and forwards for whoever has it."""

    def connection_requested(self, *_: Any) -> bool:
        """To wherever it is asked."""
        return True


async def told(process: asyncssh.SSHServerProcess[str], name: str) -> None:
    """Takes a command as the machine `name`."""
    script = await process.stdin.read()
    step = next((line.split("=", 1)[1] for line in script.splitlines() if line.startswith("STEP=")), "")
    steps.append({"machine": name, "step": step, "command": process.command or ""})
    judged = await asyncio.create_subprocess_exec("bash", "-n", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    _, said = await judged.communicate(script.encode())
    process.stderr.write(said.decode())
    if step:
        process.stdout.write(f"{name} was told {step}\n")
    process.exit(judged.returncode or 0)


async def serve(connection: socket.socket, disks: pathlib.Path) -> None:
    """Answers one connection as the machine whose address was called; there is nobody at other addresses."""
    instance = instance_at(connection.getsockname()[0])
    if instance is None:
        connection.close()
        return
    config = json.loads(instance.user_data.decode().partition("\n")[2])
    # A machine keeps the key that it was launched with, whatever becomes of the pair in the account.
    if instance.id not in login_keys:
        login_keys[instance.id] = instance.ec2_backend.key_pairs[instance.key_name].public_key
    disk = disks / instance.id
    (disk / "var/tmp").mkdir(parents=True, exist_ok=True)
    await asyncssh.run_server(
        connection,
        server_factory=Login,
        server_host_keys=[asyncssh.import_private_key(config["ssh_keys"]["ed25519_private"])],
        authorized_client_keys=asyncssh.import_authorized_keys(login_keys[instance.id]),
        process_factory=lambda process: told(process, name_of(instance).rpartition("-")[2]),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(disk)),
        encoding="utf-8",
    )


async def serve_or_hang_up(connection: socket.socket, disks: pathlib.Path) -> None:
    """A connection that goes wrong ends no other one."""
    try:
        await serve(connection, disks)
    except Exception:
        logging.exception("the connection is given up")
        connection.close()


async def answer_ssh() -> None:
    """Answers for all machines, for ever."""
    with tempfile.TemporaryDirectory() as disks:
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("0.0.0.0", 22), backlog=200)  # noqa: S104 - a network of its own
        listener.setblocking(False)
        running: set[asyncio.Task[None]] = set()
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = loop.create_task(serve_or_hang_up(connection, pathlib.Path(disks)))
            running.add(task)
            task.add_done_callback(running.discard)


class Api:
    """moto's application, with requests to the emulator itself before it."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI's."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if environ["PATH_INFO"].startswith("/emulator/"):
            return self._own(environ["PATH_INFO"].removeprefix("/emulator/"), body, start)
        environ["wsgi.input"] = io.BytesIO(body)
        action = urllib.parse.parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
        calls[action] = calls.get(action, 0) + 1
        if refused := refusals.get(action):
            text = (
                "<Response><Errors><Error>"
                f"<Code>{refused['code']}</Code><Message>{refused['message']}</Message>"
                "</Error></Errors><RequestID>0</RequestID></Response>"
            )
            if action == "GetCallerIdentity":  # another dialect of the same family
                text = text.replace("Response>", "ErrorResponse>").replace("<Errors>", "").replace("</Errors>", "")
            start("403 Forbidden", [("Content-Type", "text/xml")])
            return [text.encode()]
        return self.moto(environ, start)  # type: ignore[no-any-return]

    def _own(self, what: str, body: bytes, start: Callable[..., Any]) -> Iterable[bytes]:
        asked = json.loads(body or b"{}")
        answer: Any = {}
        if what == "refuse":
            refusals.pop(asked["action"], None)
            if "code" in asked:
                refusals[asked["action"]] = asked
        elif what == "steps":
            answer, steps[:] = list(steps), []
        elif what == "calls":
            answer = dict(calls)
            calls.clear()
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


def main() -> None:
    """Serves until it is ended; prints `ready` once it answers."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    asyncssh.set_log_level("ERROR")
    server = make_server("127.0.0.1", PORT, Api(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    asyncio.run(answer_ssh())


if __name__ == "__main__":
    main()
