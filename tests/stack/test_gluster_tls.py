"""A cluster with TLS on Gluster's connections: what is on the wire, who is let in, what changes without a restart."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.plan.traffic import ARBITER_PORT
from tests.commands import said
from tests.stack.cluster import Cluster, gluster_ports, standing, stranger, wait_for
from tests.stack.health import (
    bricks_online,
    goes_on,
    nodes_that_answer,
    outdated_for_arbiter,
    pending_heals,
    used_session,
)

BRICK_HOSTS = ("lb1", "lb2")
SERVERS = (*BRICK_HOSTS, "php1")
"""With the arbiter's."""

ETH_P_ALL, SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 3, 263, 1, 1
"""Of linux/if_ether.h, linux/socket.h and linux/if_packet.h; Python names none of them."""

CALL = r"""
import socket, ssl, struct, sys
address, port, *pair = sys.argv[1:]
connection = socket.create_connection((address, int(port)), 5)
connection.settimeout(5)
if pair:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair[0]:
        context.load_cert_chain(*pair)
    connection = context.wrap_socket(connection)
# RFC 5531: a call of the procedure that does nothing, in the program that hands out volume files.
call = struct.pack(">10I", 0x7C1A55E5, 0, 2, 14398633, 2, 0, 0, 0, 0, 0)
connection.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
reply = b""
# It comes in pieces and begins with its length and the number of the call. An alert to what is no TLS does not.
while len(reply) < 8 and (piece := connection.recv(8 - len(reply))):
    reply += piece
sys.exit(0 if reply[4:] == call[:4] else "no reply")
"""
"""Asks one of Gluster's servers: address, port; then nothing for no TLS, or certificate and key, "" and "" for none."""


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One PHP node, profile safe."""
    stack = Cluster(tmp_path_factory.mktemp("tls"), {"phpNodes": "1", "glusterTls": "true"})
    with standing(stack, request.session):
        yield stack


def nothing_to_do(cluster: Cluster) -> None:
    shown = cluster.pulumi("preview", "--expect-no-changes", "--stack", cluster.name).stdout
    assert "warning" not in shown, shown


def heard(cluster: Cluster) -> tuple[str, bytes]:
    """A visitor's session, and what Gluster's processes sent each other over the network while he used it."""
    ports = {port for host in SERVERS for port in gluster_ports(cluster, host)}
    visitor = cluster.visitor()
    visitor.visit()
    bridge = f"pc-{cluster.lab}"
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ETH_P_ALL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        wire.bind((bridge, 0))
        # A bridge hands on what is for others only when somebody wants everything.
        everything = struct.pack("=iHH8x", socket.if_nametoindex(bridge), PACKET_MR_PROMISC, 0)
        wire.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, everything)
        for _ in range(3):
            visitor.visit()
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(wire.recv(1 << 16, socket.MSG_DONTWAIT))
    payload = b"".join(payload_of(frame, ports) for frame in frames)
    assert len(payload) > 1000, f"{len(frames)} packets, and hardly anything of Gluster's in them"
    return visitor.cookie.partition("=")[2], payload


def payload_of(frame: bytes, ports: set[int]) -> bytes:
    """What an Ethernet frame carries if it is TCP over IPv4 from or to one of the ports."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
        return b""
    packet = frame[14 : 14 + int.from_bytes(frame[16:18])]
    segment = packet[4 * (packet[0] & 15) :]
    if not ports & set(struct.unpack(">2H", segment[:4])):
        return b""
    return segment[4 * (segment[12] >> 4) :]


def test_nobody_reads_along(cluster: Cluster, encrypted: Cluster) -> None:
    session, payload = heard(cluster)
    assert session.encode() in payload, "what is not encrypted must be seen, or the rest says nothing"
    session, payload = heard(encrypted)
    assert session.encode() not in payload


def test_sessions_work_and_nothing_is_left_to_do(encrypted: Cluster) -> None:
    visitor = used_session(encrypted)
    assert visitor.count == 5
    info = encrypted.outputs()["volumeInfo"]
    assert "client.ssl: on" in info and "server.ssl: on" in info
    # Of each host: that its self-heal daemon is let in by the bricks is seen by what it heals, below.
    for host in BRICK_HOSTS:
        assert encrypted.ssh(host, "gluster --mode=script peer status").count("Peer in Cluster (Connected)") == 1
        assert encrypted.ssh(host, "gluster --mode=script volume heal sessions info").count("Status: Connected") == 2
    nothing_to_do(encrypted)


def test_what_a_brick_missed_is_healed(encrypted: Cluster) -> None:
    visitor = used_session(encrypted)
    encrypted.lab_command("cut", "lb2")
    for _ in range(3):
        goes_on(visitor)
    assert "-client-1=" in outdated_for_arbiter(encrypted)
    encrypted.lab_command("restore", "lb2")
    wait_for("all bricks are online", lambda: bricks_online(encrypted) == 2)
    wait_for("nothing is left to heal", lambda: pending_heals(encrypted) == 0)
    wait_for("the arbiter takes no brick for outdated", lambda: outdated_for_arbiter(encrypted) == "")
    file = f"/session/brick/sess_{visitor.cookie.partition('=')[2]}"
    assert encrypted.ssh("lb1", f"sha256sum {file}") == encrypted.ssh("lb2", f"sha256sum {file}")


def test_a_stranger_without_a_known_certificate_gets_no_answer(encrypted: Cluster, tmp_path: Path) -> None:
    """The packet filter takes his address for a PHP node's, and he has made himself a certificate in its name."""
    own = (str(tmp_path / "own.pem"), str(tmp_path / "own.key"))
    of_own_making = ("-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=php1", "-out", own[0], "-keyout", own[1])
    said("openssl", "req", *of_own_making)
    member = (str(tmp_path / "php1.pem"), str(tmp_path / "php1.key"))
    for file, kind in zip(member, ("pem", "key"), strict=True):
        Path(file).write_text(encrypted.ssh("php1", f"cat /etc/ssl/glusterfs.{kind}"))
    ports = {host: gluster_ports(encrypted, host) for host in SERVERS}
    assert all(24007 in ports[host] and len(ports[host]) >= 2 for host in BRICK_HOSTS)
    assert ports["php1"] == [ARBITER_PORT]
    with stranger(encrypted, 29) as on_stranger:

        def gets_answers(host: str, port: int, *pair: str) -> bool:
            words = (encrypted.address(host), str(port), *pair)
            return on_stranger("python3", "-c", CALL, *words).returncode == 0

        # Who has the key of a member is one: so it is the certificate that the others lack.
        wait_for("a member's key opens", lambda: gets_answers("lb1", 24007, *member), 20)
        for host, of_host in ports.items():
            for port in of_host:
                assert gets_answers(host, port, *member), f"{host}:{port}"
                assert not gets_answers(host, port, *own), f"{host}:{port}"
                assert not gets_answers(host, port, "", ""), f"{host}:{port}"
                assert not gets_answers(host, port), f"{host}:{port}"


def test_a_node_comes_and_goes_while_bricks_go_on(encrypted: Cluster) -> None:
    visitor = used_session(encrypted)
    daemons = {host: encrypted.ssh(host, "pgrep --list-name gluster") for host in SERVERS}
    encrypted.configure({"phpNodes": "2"})
    encrypted.up()
    goes_on(visitor)
    assert nodes_that_answer(encrypted) == {"php1", "php2"}
    nothing_to_do(encrypted)
    certificate = encrypted.ssh("php2", "openssl x509 -noout -serial -in /etc/ssl/glusterfs.pem")
    listed = "openssl storeutl -noout -text -certs /etc/ssl/glusterfs.ca | grep --count Serial"
    assert [encrypted.ssh(host, listed).strip() for host in (*SERVERS, "php2")] == ["4", "4", "4", "3"], certificate
    encrypted.configure({"phpNodes": "1"})
    encrypted.up()
    goes_on(visitor)
    assert [encrypted.ssh(host, listed).strip() for host in SERVERS] == ["3"] * 3
    assert {host: encrypted.ssh(host, "pgrep --list-name gluster") for host in SERVERS} == daemons
    nothing_to_do(encrypted)


def test_the_choice_stays(encrypted: Cluster) -> None:
    encrypted.configure({"glusterTls": "false"})
    try:
        done = encrypted.pulumi("preview", "--stack", encrypted.name, check=False)
        assert done.returncode != 0
        assert "php-cluster:glusterTls is false; nothing was changed." in done.stdout + done.stderr
        assert "Example: pulumi config set glusterTls true" in done.stdout + done.stderr
    finally:
        encrypted.configure({"glusterTls": "true"})
    nothing_to_do(encrypted)
