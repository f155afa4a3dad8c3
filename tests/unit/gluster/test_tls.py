"""Certificates for Gluster's connections: who gets which, and what is left as it was without them."""

import subprocess
from pathlib import Path

import pytest

from components.gluster.tls import check_choice
from components.plan.config_values import ConfigError
from components.plan.traffic import BRICK_PORTS, GLUSTERD_PORT
from components.steps.host_scripts import HOST_SCRIPTS, libraries
from components.steps.last_update import LastUpdate
from tests.unit.graph import Graph, cluster_graph, everything_before

CERTIFICATES = ("lb1", "lb2", "php1", "php2", "php3")


@pytest.fixture(scope="module")
def encrypted() -> Graph:
    return cluster_graph(phpNodes=3, glusterTls=True)


def stdin(graph: Graph, step: str) -> str:
    return str(graph[step].inputs["stdin"])


def trusted(graph: Graph, step: str) -> list[str]:
    return [name for name in CERTIFICATES if f"stdout of {name}-gluster-certificate" in stdin(graph, step)]


def test_without_it_nothing_is_there(encrypted: Graph) -> None:
    plain = cluster_graph(phpNodes=3)
    assert plain.keys() == cluster_graph(phpNodes=3, glusterTls=False).keys() < encrypted.keys()
    assert {name.rpartition("-gluster-")[2] for name in encrypted.keys() - plain.keys()} == {
        "GlusterTls gluster-tls",
        *("certificate", "trust", "distrust"),
    }
    for name, node in plain.items():
        assert not any("gluster-" in needed for needed in node.needs), name
        assert "client.ssl" not in str(node.inputs), name


def test_servers_trust_all_and_nodes_the_servers(encrypted: Graph) -> None:
    for host in ("lb1", "lb2", "php1"):
        assert trusted(encrypted, f"{host}-gluster-trust") == list(CERTIFICATES)
        assert trusted(encrypted, f"{host}-gluster-distrust") == list(CERTIFICATES)
    assert trusted(encrypted, "php2-gluster-trust") == ["lb1", "lb2", "php1"]
    assert "php2-gluster-distrust" not in encrypted


def test_who_begins_to_talk_is_trusted_by_then(encrypted: Graph) -> None:
    everywhere = {f"{host}-gluster-trust" for host in ("lb1", "lb2", "php1")}
    for step in ("lb1-brick", "lb2-brick", "php1-arbiter"):
        assert everywhere <= everything_before(encrypted, step)
    assert {*everywhere, "php3-gluster-trust"} <= everything_before(encrypted, "php3-mount")
    assert {"lb1-haproxy", "lb2-haproxy"} <= everything_before(encrypted, "lb1-gluster-distrust")


def test_one_more_node_touches_the_lists_of_servers_alone() -> None:
    before, after = cluster_graph(phpNodes=2, glusterTls=True), cluster_graph(phpNodes=3, glusterTls=True)
    changed = {name for name in before if before[name].inputs != after[name].inputs}
    hosts = ("lb1", "lb2", "php1")
    assert {name for name in changed if "gluster" in name} == {
        f"{host}-gluster-{step}" for host in hosts for step in ("trust", "distrust")
    }
    assert not [name for name in changed if name.endswith(("-brick", "-mount")) or name == "volume-start"]


def test_the_arbiter_encrypts_too(encrypted: Graph) -> None:
    assert "ssl-enabled on" in stdin(encrypted, "php1-arbiter")
    assert "ssl" not in stdin(cluster_graph(phpNodes=2), "php1-arbiter")


def test_the_article_s_profile_has_it_too() -> None:
    graph = cluster_graph(profile="article", phpNodes=2, glusterTls=True)
    assert trusted(graph, "php1-gluster-trust") == ["lb1", "lb2"]
    assert "server.ssl on" in stdin(graph, "volume-options")


def test_brick_hosts_are_admitted_by_address_where_passwords_are_not_asked_for(encrypted: Graph) -> None:
    nodes = "198.18.7.21,198.18.7.22,198.18.7.23"
    assert f"ADDRESSES={nodes},198.18.7.11,198.18.7.12\n" in stdin(encrypted, "volume-options")
    assert f"ADDRESSES={nodes}\n" in stdin(cluster_graph(phpNodes=3), "volume-options")


def test_the_keeper_knocks_where_nobody_writes_it_down(encrypted: Graph) -> None:
    assert f"KNOCK_PORT={BRICK_PORTS[0]}\n" in stdin(encrypted, "php2-mount")
    assert f"KNOCK_PORT={GLUSTERD_PORT}\n" in stdin(cluster_graph(phpNodes=2), "php2-mount")


PLAIN: dict[str, dict[str, object]] = {"lb1-install": {}, "lb1-brick": {}}
WITH_TLS: dict[str, dict[str, object]] = {**PLAIN, "lb1-gluster-certificate": {}}


@pytest.mark.parametrize(
    ("wanted", "known"),
    # A run that ended before any daemon was there has chosen nothing that would have to stay.
    [(True, {}), (False, {}), (True, WITH_TLS), (False, PLAIN), (True, {"lb1-install": {}})],
)
def test_a_choice_that_stays_is_fine(wanted: bool, known: dict[str, dict[str, object]]) -> None:
    check_choice(wanted, LastUpdate(known))


@pytest.mark.parametrize(
    ("wanted", "known", "right"),
    [(True, PLAIN, "false"), (False, WITH_TLS, "true"), (False, {"php2-gluster-certificate": {}}, "true")],
)
def test_another_choice_is_refused(wanted: bool, known: dict[str, dict[str, object]], right: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_choice(wanted, LastUpdate(known))
    said = str(refused.value)
    assert f"php-cluster:glusterTls is {str(wanted).lower()}; nothing was changed." in said
    assert f"Example: pulumi config set glusterTls {right}" in said


def run_step(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A host script as `bash` gets it, with another folder in place of those it writes to."""
    library = "".join((HOST_SCRIPTS / file).read_text() for file in (*libraries(script), script))
    for place in ("/etc/ssl", "/var/lib/glusterd", "/var/lib/php-cluster", "/run/php-cluster-steps"):
        library = library.replace(place, str(folder))
    (folder / "lib").mkdir(exist_ok=True)
    library = library.replace("/usr/lib/ssl", str(folder / "lib"))
    # What would be root's belongs to whoever runs the tests.
    user, group = folder.owner(), folder.group()
    library = library.replace("root:root", f"{user}:{group}").replace('"600 root"', f'"600 {user}"')
    environment = {"STEP": "s", "PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(["bash", "-s"], input=library, env=environment, capture_output=True, text=True, check=False)


def certificate(folder: Path, name: str, **more: str) -> str:
    done = run_step("gluster/gluster-certificate.sh", folder, NAME=name, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_machine_keeps_its_key(tmp_path: Path) -> None:
    first = certificate(tmp_path, "lb1")
    assert first.startswith("# lb1, a machine of php-cluster\n-----BEGIN CERTIFICATE-----\n")
    key = tmp_path / "glusterfs.key"
    assert key.stat().st_mode & 0o777 == 0o600 and "PRIVATE" not in first
    assert certificate(tmp_path, "lb1", CHECK="yes") == first == certificate(tmp_path, "lb1")
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-dates"], input=first, capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines() == [
        "subject=CN = lb1",
        "notBefore=Jan  1 00:00:00 1970 GMT",
        "notAfter=Dec 31 23:59:59 9999 GMT",
    ]
    # Of another name, readable to others, gone: each is seen, and made again.
    for spoil in ("true", f"chmod 644 {key}", f"rm {key}", f"rm {tmp_path}/glusterfs.pem"):
        subprocess.run(["bash", "-c", spoil], check=True)
        seen = run_step("gluster/gluster-certificate.sh", tmp_path, NAME="lb2", CHECK="yes")
        assert (seen.returncode, seen.stderr.strip()) == (3, "makes a key and a certificate")
        made = certificate(tmp_path, "lb2")
        assert made != first and certificate(tmp_path, "lb2") == made
        first = made


def test_a_machine_trusts_its_certificate_and_no_other(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("lb1", "lb2", "thief")}
    for name, folder in folders.items():
        folder.mkdir()
        certificate(folder, "lb1" if name == "thief" else name)
    run_step("gluster/gluster-trust.sh", folders["lb1"], CERTIFICATES=certificate(folders["lb1"], "lb1"), EXACT="yes")

    def verifies(name: str) -> bool:
        command = ["openssl", "verify", "-purpose", "any", "-CAfile", str(folders["lb1"] / "glusterfs.ca")]
        done = subprocess.run([*command, folders[name] / "glusterfs.pem"], capture_output=True, check=False)
        return done.returncode == 0

    assert [name for name in folders if verifies(name)] == ["lb1"]


def test_who_leaves_is_trusted_until_it_is_said_exactly(tmp_path: Path) -> None:
    def trust(names: str, exact: str, **more: str) -> subprocess.CompletedProcess[str]:
        listed = "".join(f"# {one.strip('+')}, a machine of php-cluster\nthe text of {one}\n" for one in names.split())
        return run_step("gluster/gluster-trust.sh", tmp_path, CERTIFICATES=listed, EXACT=exact, **more)

    def listed() -> list[str]:
        lines = (tmp_path / "glusterfs.ca").read_text().splitlines()
        return [line.removeprefix("the text of ") for line in lines if not line.startswith("#")]

    assert trust("lb1 php1 php12", "no").stdout.endswith("trusts 3 machines\n")
    assert listed() == ["lb1", "php1", "php12"] and (tmp_path / "secure-access").read_text() == ""
    assert (tmp_path / "lib" / "glusterfs.ca").samefile(tmp_path / "glusterfs.ca")
    # php12 leaves, and lb1 is another machine by now.
    trust("lb1+ php1", "no")
    assert listed() == ["lb1+", "php1", "php12"]
    assert "(nothing to change)" in trust("lb1+ php1", "no", CHECK="yes").stdout
    trust("lb1+ php1", "yes")
    assert listed() == ["lb1+", "php1"]
    assert "(nothing to change)" in trust("lb1+ php1", "no", CHECK="yes").stdout
    (tmp_path / "secure-access").unlink()
    assert trust("lb1+ php1", "no", CHECK="yes").returncode == 3
