"""What a site shares beside its sessions: the same on all nodes, kept over releases, and not lost with a machine."""

from __future__ import annotations

import hashlib
import http.client
import secrets
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.commands import PROJECT
from tests.stack.cluster import FREE_DISK, Cluster, request, standing, wait_for
from tests.stack.health import balancers, whole_again

NODES = ("php1", "php2")
UPLOADS = "/media/files/shared/uploads"
LATE_SECONDS = 5.0
"""What one node writes the others read within two seconds, by docs/shared-files.md; a busy box may add to it."""

PUT = """<?php
$file = __DIR__ . '/uploads/' . basename($_GET['name']);
$new = "$file.new-" . bin2hex(random_bytes(4));
$kept = move_uploaded_file($_FILES['file']['tmp_name'], $new) && rename($new, $file);
http_response_code($kept ? 200 : 500);
echo gethostname();
"""
GET = """<?php
header('Content-Type: application/octet-stream');
header('X-Node: ' . gethostname());
@readfile(__DIR__ . '/uploads/' . basename($_GET['name'])) === false && http_response_code(404);
"""
RUNS = "<?php file_put_contents(__DIR__ . '/has-run', 'yes'); echo 'it runs';"


def site(folder: Path, release: str) -> None:
    """A site that ships folders and a file that are shared."""
    app = folder / "app"
    if not app.exists():
        shutil.copytree(PROJECT / "app", app)
    (app / "put.php").write_text(PUT)
    (app / "get.php").write_text(GET)
    (app / "setting.php").write_text("<?php echo (require 'config/local.php')['release'];")
    for path, content in {
        "uploads/shipped.txt": release,
        "uploads/deep/er/shipped.txt": release,
        "uploads/shipped.php": RUNS,
        "config/local.php": f"<?php return ['release' => '{release}'];",
    }.items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(content)


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of its own, whose site shares a folder that it ships, one that it does not, and a file."""
    folder = tmp_path_factory.mktemp("sharing")
    site(folder, "first")
    settings = {
        "phpNodes": "2",
        "appDir": str(folder / "app"),
        "sharedDirs[0]": "uploads",
        "sharedDirs[1]": "storage/app",
        "sharedFiles[0]": "config/local.php",
    }
    stack = Cluster(folder, settings)
    with standing(stack, request.session):
        yield stack


@pytest.fixture(autouse=True)
def restored(sharing: Cluster) -> Iterator[None]:
    """What a failing test broke must not fail the next ones too."""
    yield
    for machine in sharing.outputs()["machines"]:
        sharing.lab_command("restore", machine)
    whole_again(sharing)
    settle(sharing)


def to_heal(sharing: Cluster) -> int:
    said = sharing.enter("lb1", "gluster --mode=script volume heal files info")
    counts = [line.split(":")[1].strip() for line in said.splitlines() if line.startswith("Number of entries")]
    assert len(counts) == len(NODES) and all(count.isdigit() for count in counts), said
    return sum(map(int, counts))


def settle(sharing: Cluster) -> None:
    """Waits until all is healed; a name that only the brick of a machine without power has kept is looked up."""

    def is_whole() -> bool:
        names = {
            name
            for machine in ("lb1", "lb2")
            for name in sharing.enter(machine, "ls /session/files/shared/uploads").split()
            if ".new-" in name
        }
        for name in names:
            sharing.enter("php1", f"ls -l '{UPLOADS}/{name}' >/dev/null 2>&1 || true")
        return to_heal(sharing) == 0

    wait_for("shared files are healed", is_whole, 180, pause=2)


def put(url: str, name: str, content: bytes) -> str:
    """Uploads a file as a browser does, and tells the node that has acknowledged it; empty where nobody did."""
    edge = secrets.token_hex(16)
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        body = head + content + f"\r\n--{edge}--\r\n".encode()
        connection.request("POST", f"/put.php?name={name}", body, kind)
        answer = connection.getresponse()
        said = answer.read().decode()
        return said if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def put_through(sharing: Cluster, node: str, name: str, content: str) -> None:
    """Uploads through one node, whatever the balancers would choose."""
    command = f"curl --silent --fail --form file=@- 'http://127.0.0.1/put.php?name={name}'"
    assert sharing.ssh(node, command, stdin=content) == node


def seen_through(sharing: Cluster, node: str, path: str) -> str:
    """What a visitor of this node gets for a path: status, then body."""
    command = f"curl --silent --write-out ' %{{http_code}}' 'http://127.0.0.1/{path}'"
    body, _, status = sharing.ssh(node, command).rpartition(" ")
    return f"{status} {body}"


def page(sharing: Cluster, path: str) -> str:
    answer = request(sharing.outputs()["url"] + path)
    return f"{answer.status} {answer.text}"


@dataclass
class Uploaded:
    """One name that is uploaded again and again.

    Attributes:
        acknowledged: Hash of the last content that was.
        since: Those of later ones, of which nobody knows.
    """

    acknowledged: str = ""
    since: set[str] = field(default_factory=set)


@contextmanager
def uploads(url: str, names: int = 40) -> Iterator[dict[str, Uploaded]]:
    """Four visitors who never pause: new files first, then other content under the same names."""
    known: dict[str, Uploaded] = {}
    enough = threading.Event()

    def upload(visitor: int) -> None:
        turn = 0
        while not enough.is_set():
            name, content = (
                f"load-{visitor}-{turn % names}",
                secrets.token_bytes(secrets.choice((900, 70_000, 300_000))),
            )
            one, found = known.setdefault(name, Uploaded()), hashlib.sha256(content).hexdigest()
            one.since.add(found)
            if put(url, name, content):
                one.acknowledged, one.since = found, set()
            turn += 1

    threads = [threading.Thread(target=upload, args=(visitor,)) for visitor in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield known
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def acknowledged(known: dict[str, Uploaded]) -> int:
    return sum(bool(one.acknowledged) for one in list(known.values()))


def go_on(known: dict[str, Uploaded]) -> None:
    """Waits until every visitor has been told again that a file is kept."""
    before = {name: one.acknowledged for name, one in list(known.items())}

    def all_have_more() -> bool:
        changed = {name.split("-")[1] for name, one in list(known.items()) if one.acknowledged != before.get(name, "")}
        return len(changed) == 4

    wait_for("uploads are acknowledged", all_have_more)


def hashes(sharing: Cluster, machine: str, folder: str) -> dict[str, str]:
    """File to hash, of what was uploaded."""
    lines = sharing.ssh(
        machine, f"cd {folder} && find . -maxdepth 1 -name 'load-*' ! -name '*.new-*' -exec sha256sum {{}} +"
    )
    return {name.removeprefix("./"): found for found, name in map(str.split, lines.splitlines())}


def lost(known: dict[str, Uploaded], there: dict[str, str]) -> list[str]:
    """The names whose content is neither what was acknowledged last nor what was on its way after that."""
    return [
        name
        for name, one in known.items()
        if one.acknowledged and there.get(name) not in {one.acknowledged, *one.since}
    ]


def test_what_a_release_ships_is_there_on_all_nodes_and_belongs_to_php(sharing: Cluster) -> None:
    for node in NODES:
        assert seen_through(sharing, node, "uploads/shipped.txt") == "200 first"
        assert seen_through(sharing, node, "uploads/deep/er/shipped.txt") == "200 first"
        assert seen_through(sharing, node, "setting.php") == "200 first"
        owners = sharing.ssh(node, "cd /media/files/shared && find . -printf '%u %P\n' | sort")
        assert {line.split()[0] for line in owners.splitlines()} == {"www-data"}
        assert "www-data storage/app\n" in owners and "www-data uploads/deep/er\n" in owners


def read_after(sharing: Cluster, reader: str, change: str, path: str, wanted: str) -> float:
    """Changes something on the other node while the reader never stops asking its own web server for it.

    Returns:
        Seconds from the end of the change until the reader got what was wanted; the machines share one clock.
    """
    [writer] = set(NODES) - {reader}
    ask = f"curl --silent --write-out ' %{{http_code}}' 'http://127.0.0.1/{path}'"
    look = f"echo asks; until [[ $({ask}) == '{wanted}' ]]; do [[ $SECONDS -lt 60 ]] || exit 1; done; date +%s.%N"
    begun = f"/run/begun-{secrets.token_hex(4)}"
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(sharing.ssh, reader, f"{ask} >/dev/null; touch {begun}; {look}")
        wait_for("the reader asks", lambda: sharing.ssh(reader, f"ls {begun}"))
        changed = float(sharing.ssh(writer, f"({change}) >/dev/null && date +%s.%N"))
        return float(looking.result().split()[-1]) - changed


@pytest.mark.parametrize("reader", NODES)
def test_what_one_node_writes_the_other_reads(sharing: Cluster, reader: str) -> None:
    name = f"for-{reader}"
    file = f"{UPLOADS}/{name}"
    write = "echo -n {} | curl --silent --fail --form file=@- 'http://127.0.0.1/put.php?name=" + name + "'"
    late = {
        "new": read_after(sharing, reader, write.format("one"), f"uploads/{name}", "one 200"),
        "replaced": read_after(sharing, reader, write.format("two"), f"uploads/{name}", "two 200"),
        # As many bytes, in the same file; and by PHP as by nginx.
        "rewritten": read_after(sharing, reader, f"echo -n six 1<>{file}", f"uploads/{name}", "six 200"),
        "appended": read_after(sharing, reader, f"echo -n ty >>{file}", f"get.php?name={name}", "sixty 200"),
        "deleted": read_after(sharing, reader, f"rm {file}", f"get.php?name={name}", " 404"),
    }
    assert max(late.values()) < LATE_SECONDS, late


def test_nothing_shared_is_run(sharing: Cluster) -> None:
    put_through(sharing, "php1", "visitor.php", RUNS)
    put_through(sharing, "php1", "visitor.PHP", RUNS)
    put_through(sharing, "php1", "image.png", RUNS)
    paths = (
        "uploads/shipped.php",
        "uploads/visitor.php",
        "uploads//visitor.php",
        "uploads/visitor.php/x.png",
        "uploads/image.png/x.php",
        "uploads/%76isitor.php",
        "./uploads/deep/../visitor.php",
        ".php-cluster-shipped/uploads/shipped.php",
        "config/local.php",
    )
    ask = "; ".join(f"curl --silent --path-as-is 'http://127.0.0.1/{path}'" for path in paths)
    for node in NODES:
        assert "it runs" not in sharing.ssh(node, ask).replace(RUNS, "")
    assert "has-run" not in sharing.ssh("php1", "find /media/files /srv/site")
    assert page(sharing, "setting.php").startswith("200 ")


def test_a_release_keeps_what_is_shared(sharing: Cluster) -> None:
    put_through(sharing, "php1", "shipped.txt", "a visitor's")
    put_through(sharing, "php2", "kept.txt", "kept")
    site(sharing.backend, "second")
    assert "config/local.php stays as it is" in sharing.up()
    for node in NODES:
        assert seen_through(sharing, node, "uploads/shipped.txt") == "200 a visitor's"
        assert seen_through(sharing, node, "uploads/kept.txt") == "200 kept"
        assert seen_through(sharing, node, "uploads/deep/er/shipped.txt") == "200 first"
        assert seen_through(sharing, node, "setting.php") == "200 first"
    assert sharing.pulumi("preview", "--expect-no-changes", "--stack", sharing.name).returncode == 0


def test_no_acknowledged_upload_is_lost_with_a_balancer(sharing: Cluster) -> None:
    """Each of them loses its power while visitors upload, what its disk had not yet included."""
    with uploads(sharing.outputs()["url"]) as known:
        wait_for("many files are kept", lambda: acknowledged(known) > 60)
        for machine in balancers(sharing):
            sharing.lab_command("power-off", machine)
            go_on(known)
            sharing.lab_command("restore", machine)
            whole_again(sharing)
            settle(sharing)
            go_on(known)
    settle(sharing)
    through = {node: hashes(sharing, node, UPLOADS) for node in NODES}
    assert {node: lost(known, there) for node, there in through.items()} == {node: [] for node in NODES}
    # And not by chance of the copy that was read.
    on_bricks = [hashes(sharing, machine, "/session/files/shared/uploads") for machine in ("lb1", "lb2")]
    assert on_bricks[0] == on_bricks[1] == through["php1"]


def test_uploads_leave_room_for_sessions(sharing: Cluster) -> None:
    url = sharing.outputs()["url"]
    room = "df --output=avail,size --block-size=1 /session | awk 'NR == 2 { printf \"%d\", $1 - 0.15 * $2 }'"
    try:
        for machine in ("lb1", "lb2"):
            sharing.enter(machine, f"fallocate --length $({room}) /session/ballast")
        wait_for("uploads are refused", lambda: put(url, "too-much", bytes(100_000)) == "")
        for _ in range(5):
            sharing.visitor().visit()
        assert "shipped" in sharing.ssh("php1", f"ls {UPLOADS}")
    finally:
        for machine in ("lb1", "lb2"):
            sharing.enter(machine, FREE_DISK)
    wait_for("uploads are taken", lambda: put(url, "enough", bytes(100_000)))


def test_sessions_go_on_when_shared_files_hang(sharing: Cluster) -> None:
    visitor = sharing.visitor()
    visitor.visit()
    client = "pgrep --full '^/usr/sbin/glusterfs .*--process-name fuse .*/media/files$'"
    before = {node: sharing.ssh(node, client).split() for node in NODES}
    for node in NODES:
        sharing.ssh(node, f"kill -STOP $({client})")
    for _ in range(10):
        count = visitor.count
        assert visitor.visit()["counter"] == count + 1

    def is_another(node: str) -> bool:
        return not set(sharing.ssh(node, client).split()) & set(before[node])

    def reads_again(node: str) -> bool:
        return seen_through(sharing, node, "uploads/deep/er/shipped.txt") == "200 first"

    for node in NODES:
        wait_for("the mount is another one", partial(is_another, node))
        wait_for("the node reads it again", partial(reads_again, node))


def test_keys_that_are_removed_keep_what_was_shared(sharing: Cluster) -> None:
    put_through(sharing, "php1", "for-later.txt", "kept for later")
    for key in ("sharedDirs", "sharedFiles"):
        sharing.pulumi("config", "rm", key, "--stack", sharing.name)
    said = sharing.up()
    assert "no longer have uploads, storage/app, config/local.php" in said
    for node in NODES:
        assert seen_through(sharing, node, "uploads/deep/er/shipped.txt") == "200 second"
        assert "/media/files" not in sharing.ssh(node, "cat /etc/fstab /proc/self/mounts")
    sharing.configure(sharing.config)
    sharing.up()
    for node in NODES:
        assert seen_through(sharing, node, "uploads/for-later.txt") == "200 kept for later"
        assert seen_through(sharing, node, "setting.php") == "200 first"
