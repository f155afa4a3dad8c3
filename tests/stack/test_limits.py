"""One client cannot take the site: what is refused, what waits, and who does not notice."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

import pytest

from components.substrates.local.identity import default_network
from tests.stack.cluster import Cluster, another_network, standing, wait_for

REQUESTS, SESSIONS, CONNECTIONS, AT_ONCE = 20, 1, 30, 3

BOX, VISITOR, OTHER, OFFICE = 1, 250, 251, 252
"""The last numbers of addresses: this box is a proxy, the office is exempt."""

SITE = {
    "index.php": "<?php echo 'here';",
    "count.php": "<?php session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;",
    "who.php": "<?php echo $_SERVER['REMOTE_ADDR'], ' ', $_SERVER['HTTP_HOST'];",
    "slow.php": "<?php sleep(1); echo 'slow';",
}

BURST, CROWD = REQUESTS * 10, SESSIONS * 10
"""As many requests, and new sessions, as one source may have in the time over which they are counted."""

REFUSED = "429 10"
"""The status, and when to come again."""

MANY = """
import socket, sys, time
address, source, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
made = []
for _ in range(count):
    try:
        made.append(socket.create_connection((address, 80), 5, (source, 0)))
    except ConnectionResetError:
        pass
time.sleep(0.5)
def is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
print(sum(map(is_open, made)))
"""
"""How many connections of so many stay open."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "site").mkdir()
    for name, text in SITE.items():
        (folder / "site" / name).write_text(text)
    settings = {
        "phpNodes": "2",
        "appDir": str(folder / "site"),
        "limits.requestsPerSecond": str(REQUESTS),
        "limits.sessionsPerSecond": str(SESSIONS),
        "limits.connections": str(CONNECTIONS),
        "limits.requestsAtOnce": str(AT_ONCE),
        "floatingIp6": "auto",
    }
    cluster = Cluster(folder, settings)
    network = IPv4Network(default_network(cluster.name))
    cluster.configure({"limits.exempt[0]": f"{network[OFFICE]}/32", "trustedProxies[0]": f"{network[BOX]}/32"})
    with standing(cluster, request.session):
        yield cluster


class Site:
    """The site, asked from one of several addresses, as often as is wanted."""

    def __init__(self, cluster: Cluster, there: tuple[str, ...]) -> None:
        self._cluster, self._there = cluster, there
        self.address: str = cluster.outputs()["floatingIp"]
        self.network = self.address.rpartition(".")[0]

    def run(self, *command: str, host: int) -> str:
        """On this box, or on the machine with the other addresses."""
        there = () if host == BOX else self._there
        done = self._cluster.run(*there, *command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, page: str, *options: str, host: int = VISITOR, times: int = 1, at_once: int = 1) -> list[str]:
        """The statuses of so many requests of one page."""
        command = ["curl", "--silent", "--noproxy", "*", "--interface", f"{self.network}.{host}", "--max-time", "60"]
        command += ["--parallel", "--parallel-immediate", "--parallel-max", str(at_once), *options]
        for _ in range(times):
            command += ["--output", "/dev/null", "--write-out", "%{http_code} %header{retry-after}\n"]
            command += [f"http://{self.address}/{page}"]
        return [line.strip() for line in self.run(*command, host=host).splitlines()]

    def ask_as(self, visitor: str, page: str, *options: str, times: int = 1, at_once: int = 1) -> list[str]:
        """The same through the proxy, for a visitor whom it names."""
        named = ("--header", f"X-Forwarded-For: {visitor}")
        return self.ask(page, *named, *options, host=BOX, times=times, at_once=at_once)


@pytest.fixture(scope="module")
def site(stack: Cluster) -> Iterator[Site]:
    with another_network(stack, VISITOR, OTHER, OFFICE) as there:
        yield Site(stack, there)


def refused_so_far(stack: Cluster) -> int:
    """As scripts/status tells it, of both balancers."""
    found = json.loads(stack.status("--json", "--seconds", "30").stdout)["limited"]
    assert set(found) == {"lb1", "lb2"}
    return sum(balancer["requests"] for balancer in found.values())


def test_who_asks_too_often_is_refused_and_others_are_not(stack: Cluster, site: Site) -> None:
    before = refused_so_far(stack)
    told = site.ask("index.php", times=BURST + 60, at_once=8)
    assert set(told) == {"200", REFUSED} and BURST - 20 <= told.count("200") <= BURST + 20, told
    assert site.ask("index.php") == [REFUSED]
    assert refused_so_far(stack) - before == told.count(REFUSED) + 1
    assert site.ask("index.php", host=OTHER) == ["200"]
    assert site.ask("index.php", host=OFFICE, times=BURST + 60, at_once=8) == ["200"] * (BURST + 60)
    wait_for("he may ask again", lambda: site.ask("index.php") == ["200"], pause=2)


def test_behind_a_proxy_the_visitor_counts_whom_it_names(site: Site) -> None:
    told = site.ask_as("203.0.113.7", "index.php", times=BURST + 60, at_once=8)
    assert REFUSED in told
    assert site.ask_as("203.0.113.8", "index.php") == ["200"]
    # Neither what he claims himself nor a second proxy changes who he is.
    for chain in ("203.0.113.8, 203.0.113.7", f"203.0.113.7, {site.network}.{BOX}"):
        assert site.ask_as(chain, "index.php") == [REFUSED], chain
    # The proxy's own requests have no limit.
    assert site.ask("index.php", host=BOX, times=BURST + 60, at_once=8) == ["200"] * (BURST + 60)


def test_a_network_of_ipv6_is_one_source(site: Site) -> None:
    def is_one_source() -> bool:
        assert REFUSED in site.ask_as("2001:db8:7:1::1", "index.php", times=BURST + 60, at_once=8)
        # On a slow box the first one's requests may be forgotten by now.
        return site.ask_as("2001:db8:7:1::2", "index.php") == [REFUSED]

    wait_for("another address of the network is refused, too", is_one_source)
    assert site.ask_as("2001:db8:7:2::1", "index.php") == ["200"]


def test_who_comes_by_ipv6_is_counted_by_his_network(stack: Cluster, site: Site) -> None:
    """This box has three addresses: two of one network, and another one's."""
    floating = stack.outputs()["floatingIp6"]
    one, same, other = (floating.replace("::10", end) for end in ("::a1", "::a2", ":1::a1"))
    for address in (one, same, other):
        site.run("ip", "address", "add", f"{address}/128", "dev", f"pc-{stack.lab}", "nodad", host=BOX)

    def ask(source: str, page: str, times: int = 1) -> list[str]:
        """What is answered, with the status."""
        command = ["curl", "--silent", "--globoff", "--noproxy", "*", "--interface", source, "--write-out"]
        command += [" %{http_code}\\n", "--parallel", "--parallel-max", "8"]
        return site.run(*command, *[f"http://[{floating}]/{page}"] * times, host=BOX).splitlines()

    assert ask(one, "who.php") == [f"{one} [{floating}] 200"]
    assert ask(other, "who.php") == [f"{other} [{floating}] 200"]

    def is_one_source() -> bool:
        assert " 429" in ask(one, "index.php", times=BURST + 60)
        return ask(same, "who.php") == [" 429"]

    wait_for("another address of the network is refused, too", is_one_source)
    assert ask(other, "who.php") == [f"{other} [{floating}] 200"]


@pytest.mark.parametrize(
    ("visitor", "options"), [("203.0.113.20", []), ("203.0.113.21", ["--header", "Cookie: PHPSESSID=made-up"])]
)
def test_who_begins_too_many_sessions_is_refused(site: Site, visitor: str, options: list[str]) -> None:
    told = site.ask_as(visitor, "count.php", *options, times=CROWD + 60, at_once=8)
    assert set(told) == {"200", REFUSED} and CROWD <= told.count("200") <= CROWD + 30, told


def test_who_goes_on_with_a_session_begins_none(site: Site) -> None:
    said = site.run("curl", "--silent", "--noproxy", "*", "--include", f"http://{site.address}/count.php", host=BOX)
    cookie = said.partition("Set-Cookie: ")[2].partition(";")[0]
    times = CROWD + 40
    assert site.ask_as("203.0.113.22", "count.php", "--cookie", cookie, times=times) == ["200"] * times


def test_connections_beyond_the_limit_are_closed(site: Site) -> None:
    def left_open(host: int) -> int:
        return int(site.run("python3", "-c", MANY, site.address, f"{site.network}.{host}", "40", host=host))

    assert left_open(OTHER) == CONNECTIONS
    assert left_open(OFFICE) == 40


def test_what_takes_long_waits_for_its_own_kind_alone(site: Site) -> None:
    """As many slow pages at once as all nodes have workers."""
    with ThreadPoolExecutor(1) as elsewhere:
        began = time.monotonic()
        slow = elsewhere.submit(site.ask_as, "203.0.113.30", "slow.php", times=16, at_once=16)
        time.sleep(0.5)
        waited = []
        while not slow.done():
            begin = time.monotonic()
            assert site.ask_as("203.0.113.31", "index.php") == ["200"]
            waited.append(time.monotonic() - begin)
            # Not so often that he is refused.
            time.sleep(0.1)
        took = time.monotonic() - began
    assert slow.result() == ["200"] * 16
    # Two as they come, and one more on each node; without limits it were a second.
    assert took > 2.5
    assert max(waited) < 0.5, waited
