"""Ordinary PHP: the cluster answers what one server with stock PHP does, and says nothing that is not stored."""

import http.client
import re
import secrets
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands import PROJECT
from tests.php.pools import Node, Pool
from tests.stack.browser import SESSION, Browser, PlainPhp, Reply, Server, Site
from tests.stack.cluster import Cluster, wait_for
from tests.stack.ordinary_php import CASES, FIRST, MADE_UP, Ask, Case

PAGES = PROJECT / "tests" / "stack" / "ordinary"
ADVERTISED = {"session.use_strict_mode": "1"}
"""Settings of the product's that are not Debian's."""


@pytest.fixture(scope="module")
def cluster(cluster: Cluster) -> Iterator[Cluster]:
    """With the pages as its site, as long as these tests last."""
    cluster.configure({"appDir": str(PAGES.relative_to(PROJECT))})
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.pulumi("config", "rm", "appDir", "--stack", cluster.name)
        cluster.up()


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Site:
    return Site(cluster.outputs()["floatingIp"])


@pytest.fixture(scope="module")
def stock(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Debian's PHP on one of the nodes, with the same pages and PHP's own handler in a folder of that node."""
    node = Node(cluster, "php1", tmp_path_factory.mktemp("stock"))
    try:
        node.start()
        node.put({str(path.relative_to(PAGES)): path.read_bytes() for path in PAGES.rglob("*") if path.is_file()})
        with node.pools() as (pool, _):
            yield pool
    finally:
        node.stop()


def check(case: Case, server: Server) -> None:
    """Puts the case's requests, and asserts that each answer is the right one."""
    browser = Browser(server)
    known = {"own": secrets.token_hex(4)}
    for number, ask in enumerate(case.asks, 1):
        if ask.anew:
            browser = Browser(server)
        asking = browser
        if ask.cookie:
            bring = {FIRST: browser.sessions[0] if browser.sessions else "", MADE_UP: secrets.token_hex(20)}
            asking = Browser(server, {SESSION: bring.get(ask.cookie, ask.cookie.format(**known))})
        begin = time.monotonic()
        reply = asking.ask(ask.page.format(**known), ask.method, ask.headers, ask.body)
        took = time.monotonic() - begin
        problems = wrong(ask, reply, took)
        assert problems == [], f"request {number}, {ask.page}: {'; '.join(problems)}; {shown(reply)}"
        if ask.matches and (found := re.fullmatch(ask.matches, reply.text)):
            known |= found.groupdict()
        # What a request with another cookie was given is the visitor's own from now on.
        if ask.cookie and reply.cookies.get(SESSION):
            browser.cookies = asking.cookies
            browser.sessions += asking.sessions


def wrong(ask: Ask, reply: Reply, took: float) -> list[str]:
    """In what way an answer is not the right one."""
    found = []
    if took > ask.within:
        found.append(f"it took {took:.1f} s of {ask.within:.0f}")
    if ask.refused:
        if reply.status < 500:
            found.append(f"status {reply.status}, not one of an error")
        said = [name for name in ("Set-Cookie", "Location") if reply.all(name)]
        return found + [f"there is {name}" for name in said] + ["all is well, it says"] * ("all is well" in reply.text)
    if reply.status != ask.status:
        found.append(f"status {reply.status}, not {ask.status}")
    if isinstance(ask.says, bytes) and reply.body != ask.says:
        found.append(f"it has {reply.body!r}, not {ask.says!r}")
    elif isinstance(ask.says, str) and reply.text != ask.says:
        found.append(f"it says {reply.text[:200]!r}, not {ask.says[:200]!r}")
    if ask.matches and not re.fullmatch(ask.matches, reply.text):
        found.append(f"it says {reply.text[:200]!r}, nothing like {ask.matches!r}")
    if ask.session is not None and (SESSION in reply.cookies) != ask.session:
        found.append(f"there is {'no ' if ask.session else 'a '}new session")
    missing = [f"{name}: {text}" for name, text in ask.has.items() if not any(text in said for said in reply.all(name))]
    return found + [f"no {header}" for header in missing]


def shown(reply: Reply) -> str:
    return f"{reply.status} {dict(reply.headers)} {reply.text[:500]!r}"


def named(cases: list[Case]) -> list[object]:
    return [pytest.param(case, id=case.name) for case in cases]


def test_each_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_requests_of_one_visitor_go_to_both_nodes(site: Site) -> None:
    browser = Browser(site)
    assert {browser.ask("node.php").text for _ in range(4)} == {"php1", "php2"}


@pytest.mark.parametrize("case", named([case for case in CASES if case.stock]))
def test_what_stock_php_answers(stock: Pool, case: Case) -> None:
    """Holds the table true: what it takes for ordinary is what PHP does."""
    check(case, PlainPhp(stock, {**ADVERTISED, **case.ini}))


@pytest.mark.parametrize("case", named(CASES))
def test_the_cluster_answers_likewise(site: Site, case: Case) -> None:
    check(case, site)


def test_windows_of_one_visitor_take_turns(site: Site) -> None:
    """Six requests at once, as many as a browser sends to one HTTP/1.1 server, again and again."""
    browser = Browser(site)
    browser.ask("count.php")
    with ThreadPoolExecutor(6) as windows:
        replies = list(windows.map(lambda _: Browser(site, dict(browser.cookies)).ask("count.php"), range(60)))
    assert [shown(reply) for reply in replies if reply.status != 200] == []
    assert sorted(int(reply.text) for reply in replies) == list(range(2, 62))


def test_a_visitor_who_waits_for_himself_keeps_nobody_else_waiting(site: Site) -> None:
    """More of his requests than all nodes have workers; none of them is lost, or made twice."""
    browser = Browser(site)
    browser.ask("count.php")
    others: list[float] = []
    with ThreadPoolExecutor(24) as windows:
        asked = [windows.submit(Browser(site, dict(browser.cookies)).ask, "wait.php?seconds=1.5") for _ in range(24)]
        wait_for("the first one is answered", lambda: any(one.done() for one in asked))
        while not all(one.done() for one in asked):
            begin = time.monotonic()
            assert Browser(site).ask("index.php").text == "here"
            assert Browser(site).ask("count.php").text == "1"
            others.append(time.monotonic() - begin)
        replies = [one.result() for one in asked]
    assert [shown(reply) for reply in replies if reply.status != 200] == []
    assert sorted(int(reply.text) for reply in replies) == list(range(2, 26))
    # While all workers waited for one session, it was 16 s.
    assert max(others) < 5, others
    assert browser.ask("count.php").text == "26"


def test_an_id_that_somebody_made_up_costs_nothing(site: Site) -> None:
    """It is known for one without a look for its session."""

    def seconds(cookies: dict[str, str]) -> float:
        begin = time.monotonic()
        assert Browser(site, cookies).ask("count.php").text == "1"
        return time.monotonic() - begin

    times = [(seconds({}), seconds({SESSION: secrets.token_hex(20)})) for _ in range(20)]
    without, made_up = (statistics.median(each) for each in zip(*times, strict=True))
    assert made_up < without + 0.05, times


@pytest.mark.parametrize("session", ["", "?session=closed", "?session=open"])
def test_a_download_takes_no_memory(site: Site, session: str) -> None:
    reply = Browser(site).ask(f"download.php{session}")
    assert (reply.status, len(reply.body) >> 20, reply.body[200 << 20 :]) == (200, 200, b"constant")


@pytest.mark.parametrize("session", ["", "?session=closed"])
def test_an_event_arrives_when_it_is_sent(site: Site, session: str) -> None:
    """The second one is sent when the first is here."""
    connection = http.client.HTTPConnection(site.address, timeout=60)
    connection.request("GET", f"/events.php{session}")
    response = connection.getresponse()
    assert response.read(len(b"data: first\n\n")) == b"data: first\n\n"
    begin = time.monotonic()
    assert response.read() == b"data: second\n\n"
    assert time.monotonic() - begin > 2
    connection.close()


AGE = """\
file=/media/sessions/sess_{session}
touch --date="@$(($(stat --format %Y "$file") - {seconds}))" "$file"
"""
"""Makes a session so much older than it is."""


def test_the_lifetime_of_a_site_counts(cluster: Cluster, site: Site) -> None:
    """Two visitors come back after two hours, one of them to a page that gives its sessions a day."""
    short, long = Browser(site), Browser(site)
    assert short.ask("count.php").text == long.ask("lifetime.php?seconds=86400").text == "1"
    for browser in (short, long):
        cluster.enter("php1", AGE.format(session=browser.sessions[0], seconds=7200))
    cluster.enter("php1", "systemctl start php-cluster-collect")
    assert short.ask("count.php").text == "1"
    assert long.ask("lifetime.php?seconds=86400").text == "2"


def test_what_has_left_already_is_broken_off(site: Site) -> None:
    """Too late for a status: then the visitor does not get to the answer's end."""
    browser = Browser(site)
    browser.ask("count.php")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        browser.ask("begun.php?size=1")
    assert browser.ask("count.php").text == "2"


def test_a_visitor_who_leaves_finds_his_session_again(site: Site) -> None:
    """What became of the page that he did not wait for, nobody promises."""
    browser = Browser(site)
    browser.ask("count.php")
    with pytest.raises(TimeoutError):
        browser.ask("wait.php?seconds=3", limit=1)
    begin = time.monotonic()
    assert browser.ask("count.php").text in ("2", "3")
    assert time.monotonic() - begin < 20


def test_a_session_that_is_damaged_stays_as_it_is(cluster: Cluster, site: Site) -> None:
    browser = Browser(site)
    browser.ask("count.php")
    file = f"/media/sessions/sess_{browser.sessions[0]}"
    cluster.enter("php1", f"printf junk | dd of={file} bs=1 seek=30 conv=notrunc status=none")
    damaged = cluster.enter("php1", f"sha256sum {file}")
    for page in (
        "count.php",
        "again.php?by=reset",
        "login.php?old=ends",
        "logout.php",
        "error-handler.php?with=silence",
    ):
        reply = browser.ask(page)
        assert wrong(Ask(page, refused=True), reply, 0) == [], shown(reply)
    assert cluster.enter("php1", f"sha256sum {file}") == damaged


def test_without_its_store_no_session_is_answered(cluster: Cluster, site: Site) -> None:
    """Neither read nor stored, and no new one given out; pages without a session go on."""
    browser = Browser(site)
    assert browser.ask("count.php").text == "1"
    nodes = ("php1", "php2")
    for node in nodes:
        cluster.enter(node, "systemctl stop php-cluster-sessions && umount --lazy /media/sessions")
    try:
        for _ in range(4):
            for visitor in (browser, Browser(site)):
                reply = visitor.ask("count.php")
                assert wrong(Ask("count.php", refused=True), reply, 0) == [], shown(reply)
                assert reply.all("Retry-After"), shown(reply)
            assert Browser(site).ask("index.php").text == "here"
    finally:
        for node in nodes:
            cluster.enter(node, "systemctl start php-cluster-sessions")
    wait_for("the session is there again", lambda: browser.ask("count.php").text == "2")
