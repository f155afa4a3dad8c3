"""An application with a web root, secrets, migrations, workers and cron, on a cluster of its own with two PHP nodes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.cluster import Cluster, request, standing, wait_for
from tests.stack.test_changes import touched, visitors

NODES = ("php1", "php2")
SECRET = "top secret \"quoted\" $PATH `id` \\ 'single' #;%h\n second line ü"
SHORT = 8
"""Seconds that a worker may take to end."""

FILES = {
    "public/index.php": "<?php session_start(); echo require '../src/name.php', ' ', require '../src/name.php';",
    "public/environment.php": "<?php echo json_encode(['getenv' => getenv(), 'server' => $_SERVER]);",
    "public/write.php": """<?php
        $write = static fn (string $file): bool => @file_put_contents("../$file", 'x') !== false;
        echo json_encode([
            'writable' => $write('var/cache/x'),
            'other' => $write('src/x') || $write('public/x.php') || $write('var/x'),
            'warm' => @file_get_contents('../var/cache/warm'),
            'root' => $_SERVER['DOCUMENT_ROOT'],
            'script' => $_SERVER['SCRIPT_FILENAME'],
        ]);""",
    "secret.txt": "not for visitors",
    "migrate.php": """<?php
        $who = posix_getpwuid(posix_geteuid())['name'];
        file_put_contents('/tmp/migrations', "$who " . getcwd() . "\\n", FILE_APPEND);
        echo 'with ', getenv('SECRET'), "\\n";
        sleep((int) @file_get_contents('migration-seconds'));
        exit((int) @file_get_contents('migration-status'));""",
    "warm-up.php": "<?php file_put_contents('var/cache/warm', gethostname() . md5(getenv('SECRET')));",
    "worker.php": """<?php
        pcntl_async_signals(true);
        $told = false;
        pcntl_signal(SIGTERM, static function () use (&$told): void { $told = true; });
        $pid = getmypid();
        $rest = (require 'src/name.php') . ' ' . md5(getenv('SECRET'));
        $say = static fn (string $what) => file_put_contents('/tmp/worker', "$pid $what $rest\\n", FILE_APPEND);
        $say('begins');
        while (!$told) { usleep(50000); }
        sleep(2);
        $say('ends');""",
}


def release(folder: Path, name: str) -> None:
    (folder / "app" / "src" / "name.php").write_text(f"<?php return '{name}';")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("application")
    for name, text in FILES.items():
        path = folder / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "app" / "src").mkdir()
    release(folder, "one")
    stack = Cluster(
        folder,
        {
            "phpNodes": "2",
            "appDir": str(folder / "app"),
            "webRoot": "public",
            "writableDirs[0]": "var/cache",
            "appEnvironment.PLAIN": "plain",
            "releaseCommands[0]": 'test -n "$SECRET"',
            "releaseCommands[1]": "php migrate.php",
            "nodeCommands[0]": "php warm-up.php",
            "workers[0].name": "queue",
            "workers[0].command": "php worker.php",
            "workers[0].count": "2",
            "workers[0].stopSeconds": str(SHORT),
        },
    )
    stack.pulumi("config", "set", "--secret", "--path", "appEnvironment.SECRET", "--stack", stack.name, "--", SECRET)
    with standing(stack, request.session):
        yield stack


@pytest.fixture
def one_serves(site: Cluster) -> str:
    """The site's address, whatever a test before has left."""
    release(site.backend, "one")
    site.up()
    return str(site.outputs()["url"])


def refused(stack: Cluster) -> str:
    """What an update says that must fail."""
    done = stack.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name, check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def on_each_node(stack: Cluster, command: str) -> dict[str, str]:
    return {node: stack.ssh(node, command) for node in NODES}


def workers(stack: Cluster, node: str) -> Counter[str]:
    """What the workers of a node have said."""
    return Counter(" ".join(line.split()[1:3]) for line in stack.ssh(node, "cat /tmp/worker").splitlines())


def scripts_release(stack: Cluster, *arguments: str) -> tuple[int, str]:
    done = stack.run("scripts/release", "--stack", stack.name, *arguments)
    return done.returncode, done.stdout + done.stderr


def test_only_the_web_root_is_served(site: Cluster, one_serves: str) -> None:
    assert request(one_serves).text == "one one"
    assert request(one_serves + "secret.txt").text == "one one"
    seen = request(one_serves + "write.php").json()
    current = site.ssh("php1", "readlink /srv/site/current").strip()
    assert (seen["root"], seen["script"]) == (f"{current}/public", f"{current}/public/write.php")


def test_php_writes_to_writable_folders_alone(site: Cluster, one_serves: str) -> None:
    for _ in range(4):
        seen = request(one_serves + "write.php").json()
        assert (seen["writable"], seen["other"]) == (True, False)
    owners = on_each_node(site, "stat --format=%U /srv/site/current/var /srv/site/current/var/cache")
    assert set(owners.values()) == {"root\nwww-data\n"}


def test_pages_and_commands_have_the_environment(site: Cluster, one_serves: str) -> None:
    for _ in range(4):
        seen = request(one_serves + "environment.php").json()
        for where in ("getenv", "server"):
            assert (seen[where]["SECRET"], seen[where]["PLAIN"]) == (SECRET, "plain")
    warm = {request(one_serves + "write.php").json()["warm"] for _ in range(8)}
    assert {text[:4] for text in warm} == set(NODES)
    assert len({text[4:] for text in warm}) == 1


def test_a_secret_is_where_it_belongs_and_nowhere_else(site: Cluster) -> None:
    word = "second line ü"
    assert site.ssh("php1", "stat --format='%a %U' /etc/php-cluster/environment").strip() == "600 root"
    for path in site.backend.rglob("*.json*"):
        assert word not in path.read_text(), path
    everywhere = (
        "find /srv /etc /usr/lib/php-cluster /var/lib/php-cluster /var/log /tmp /var/tmp -type f -exec grep -lF"
    )
    found = site.ssh("php2", f"{everywhere} '{word}' {{}} + || true").split()
    assert set(found) == {"/etc/php-cluster/environment", "/var/lib/php-cluster/steps/php2-environment"}
    for node in NODES:
        said = site.ssh(node, "journalctl --output cat; systemctl show '*'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert word not in said
    assert word not in site.pulumi("preview", "--diff", "--stack", site.name).stdout


def test_an_update_of_the_same_site_changes_nothing(site: Cluster, one_serves: str) -> None:
    assert one_serves
    site.pulumi("preview", "--expect-no-changes", "--stack", site.name)
    migrations = site.ssh("php1", "cat /tmp/migrations")
    assert {line.split()[0] for line in migrations.splitlines()} == {"www-data"}
    step = "bash /var/lib/php-cluster/steps/php1-release-commands"
    assert "(nothing to change)" in site.ssh("php1", step)
    assert site.ssh("php1", "cat /tmp/migrations") == migrations
    assert site.ssh("php2", "ls /tmp/migrations 2>/dev/null || true") == ""


def test_a_value_of_the_environment_changes_under_load(site: Cluster, one_serves: str) -> None:
    with visitors(one_serves) as answers:
        site.configure({"appEnvironment.PLAIN": "another"})
        assert touched(site) == {f"{node}-environment" for node in NODES}
        site.up()
    assert set(answers) == {"one one"}, answers
    assert {request(one_serves + "environment.php").json()["getenv"]["PLAIN"] for _ in range(8)} == {"another"}
    with visitors(one_serves) as answers:
        site.configure({"appEnvironment.MORE": "more"})
        site.up()
        site.pulumi("config", "rm", "--path", "appEnvironment.MORE", "--stack", site.name)
        site.up()
    assert set(answers) == {"one one"}, answers
    assert "MORE" not in request(one_serves + "environment.php").json()["getenv"]


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("migration-status", "3", "php migrate.php.*ends with status 3, the old one stays"),
        ("migration-seconds", "600", "after its time of 3 s, the old one stays"),
    ],
)
def test_a_migration_that_fails_stops_the_release(
    site: Cluster, one_serves: str, file: str, text: str, complaint: str
) -> None:
    release(site.backend, "never seen")
    (site.backend / "app" / file).write_text(text)
    site.configure({"commandSeconds": "3"})
    try:
        with visitors(one_serves) as answers:
            said = refused(site)
    finally:
        (site.backend / "app" / file).unlink()
        site.configure({"commandSeconds": "300"})
    assert re.search(complaint, said), said
    assert "with [SECRET]" in said or "600" in text
    assert "second line" not in said
    assert set(answers) == {"one one"}, answers
    # Nothing of it goes on.
    assert site.ssh("php1", "pgrep --full '^php migrate.php' || true") == ""


def test_a_release_is_switched_to_and_back_under_load(site: Cluster, one_serves: str) -> None:
    with visitors(one_serves) as answers:
        release(site.backend, "two")
        site.up()
        assert request(one_serves).text == "two two"
        status, said = scripts_release(site, "list")
        assert status == 0 and said.count("serves since") == 2, said
        one = re.findall(r"^php1 +(\w+)  was switched to", said, re.MULTILINE)[0]
        migrations = site.ssh("php1", "cat /tmp/migrations")

        status, said = scripts_release(site, "rollback")
        assert status == 0 and f"release {one} serves" in said, said
        wait_for("all nodes serve the old release", lambda: {request(one_serves).text for _ in range(8)} == {"one one"})
        # The same site again: nothing of the rollback is undone, and it is said.
        said = site.up()
        assert f"the site stays at release {one}" in said, said
        assert {request(one_serves).text for _ in range(8)} == {"one one"}
        said = site.pulumi("preview", "--expect-no-changes", "--stack", site.name).stdout
        assert "runs again" not in said
        assert site.ssh("php1", "cat /tmp/migrations") == migrations

        # Another site ends it.
        release(site.backend, "three")
        assert "the site stays" not in site.up()
        assert {request(one_serves).text for _ in range(8)} == {"three three"}
    assert set(answers) == {"one one", "two two", "three three"}, answers
    status, said = scripts_release(site, "rollback", "no-such")
    assert status == 2 and "no releases begin with no-such" in said


def test_forward_again_after_a_rollback(site: Cluster, one_serves: str) -> None:
    release(site.backend, "four")
    site.up()
    assert scripts_release(site, "rollback")[0] == 0
    assert request(one_serves).text == "one one"
    newest = re.findall(r"^php1 +(\w+)  was", scripts_release(site, "list")[1], re.MULTILINE)[0]
    assert scripts_release(site, "rollback", newest)[0] == 0
    assert {request(one_serves).text for _ in range(8)} == {"four four"}
    assert "the site stays" not in site.pulumi("preview", "--expect-no-changes", "--stack", site.name).stdout


def test_a_node_that_was_down_follows_a_rollback(site: Cluster, one_serves: str) -> None:
    release(site.backend, "five")
    site.up()
    site.lab_command("power-off", "php2")
    status, said = scripts_release(site, "rollback")
    assert status == 1 and "php2:" in said, said
    site.up()
    assert on_each_node(site, "basename $(readlink /srv/site/current)")["php2"] == site.ssh(
        "php1", "basename $(readlink /srv/site/current)"
    )
    assert {request(one_serves).text for _ in range(8)} == {"one one"}


def test_workers_follow_the_release_and_end_their_work(site: Cluster, one_serves: str) -> None:
    assert one_serves
    for node in NODES:
        site.ssh(node, "rm --force /tmp/worker")
    release(site.backend, "six")
    site.up()
    for node in NODES:
        assert workers(site, node) == {"ends one": 2, "begins six": 2}

    # One that dies is started again, and after a boot too.
    site.ssh("php2", "rm --force /tmp/worker; pkill --signal KILL --full '^php worker.php'")
    wait_for("the workers are back", lambda: workers(site, "php2") == {"begins six": 2})
    # However the services are confined: a mail program is another user's.
    of = ("'^php worker.php'", "'php-fpm: pool site'")
    told = [site.ssh("php2", f"cat /proc/$(pgrep --newest --full {process})/status") for process in of]
    assert all(re.search(r"^NoNewPrivs:\s+0\nSeccomp:\s+2$", status, re.MULTILINE) for status in told), told

    site.configure({"workers[0].count": "1"})
    site.up()
    assert site.ssh("php2", "pgrep --full --count '^php worker.php'").strip() == "1"
    site.pulumi("config", "rm", "workers", "--stack", site.name)
    site.up()
    assert site.ssh("php2", "pgrep --full --count '^php worker.php' || true").strip() == "0"
    assert site.ssh("php2", "ls /etc/systemd/system/php-cluster-worker* 2>/dev/null || true") == ""


def runs(stack: Cluster) -> list[tuple[str, float, float]]:
    """Node, begin and end of each run that a brick has noted, in their order."""
    lines = [line.split() for line in stack.ssh("php1", "cat /media/sessions/.runs 2>/dev/null || true").splitlines()]
    return [(node, float(begin), float(end)) for node, begin, end in lines]


def test_cron_runs_once_whoever_is_down(site: Cluster, one_serves: str) -> None:
    assert one_serves
    begin = "begin=$(date +%s.%N); sleep 2"
    site.configure(
        {
            "cron[0].name": "tick",
            "cron[0].schedule": "* * * * *",
            "cron[0].command": f'{begin}; echo "$(hostname) $begin $(date +%s.%N)" >>/media/sessions/.runs',
        }
    )
    site.up()
    wait_for("it has run", lambda: runs(site), limit=180, pause=2)
    seen = runs(site)
    site.configure({"cron[0].schedule": "@yearly"})
    site.up()
    timer = "systemctl show --property=NextElapseUSecRealtime php-cluster-cron-tick.timer"
    assert all("-01-01 00:00:00" in said for said in on_each_node(site, timer).values())
    site.configure({"cron[0].schedule": "* * * * *"})
    site.up()
    site.lab_command("power-off", "php2")
    wait_for("it runs with a node less", lambda: len(runs(site)) > len(seen), limit=240, pause=2)
    site.lab_command("restore", "php2")
    minutes = Counter(int(begin // 60) for _, begin, _ in runs(site))
    assert set(minutes.values()) == {1}, runs(site)
    site.pulumi("config", "rm", "cron", "--stack", site.name)
    site.up()
    timers = "systemctl list-timers --all --no-legend 'php-cluster-cron-*'"
    assert {said.strip() for said in on_each_node(site, timers).values()} == {""}
    assert json.loads(site.status("--json").stdout)["drift"] == {}
