"""The load of `scripts/bench sessions`, and its check of every answer: a site that goes wrong on purpose."""

import http.server
import itertools
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmark.sessions import load
from scripts.benchmark.sessions.load import Run, Visitors
from scripts.benchmark.sessions.stores import Store
from scripts.stack import StackError

NODES = ("php1", "php2")


class Site(http.server.ThreadingHTTPServer):
    """Counts in sessions, in turns as two nodes.

    Attributes:
        counts: (session, node or `-`) to the count.
        apart: Whether each node counts for itself.
        fault: Called with the number of the request; true: this one goes wrong in the way of `wrong`.
        wrong: `lost`: the update is not kept; `refused`: 503; `other`: another session's count.
    """

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # wrk does not say goodbye

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.counts: dict[tuple[str, str], int] = defaultdict(int)
        self.turns = itertools.count()
        self.lock = threading.Lock()
        self.apart, self.wrong, self.wrong_every = False, "", 0


class Page(http.server.BaseHTTPRequestHandler):
    """What scripts/benchmark/sessions/site/index.php does."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Site

    def do_GET(self) -> None:
        site = self.server
        cookie = self.headers.get("Cookie", "").partition("PHPSESSID=")[2]
        session = cookie or secrets.token_hex(20)
        with site.lock:
            turn = next(site.turns)
            node = NODES[turn % 2]
            place = (session, node if site.apart else "-")
            fails = site.wrong_every and turn % site.wrong_every == 0
            if "read" not in self.path and not (fails and site.wrong == "lost"):
                site.counts[place] += 1
            count = site.counts[place] + (1 if fails and site.wrong == "other" else 0)
        body = f"{session} {count} {node}\n".encode()
        self.send_response(503 if fails and site.wrong == "refused" else 200)
        if not cookie:
            self.send_header("Set-Cookie", f"PHPSESSID={session}; path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["shared", "apart"])
def visitors(request: pytest.FixtureRequest, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visitors:
    monkeypatch.setattr(load, "SESSIONS", 8)
    site.apart = request.param == "apart"
    host, port = site.server_address[:2]
    result = Visitors(f"{host!s}:{port}", Store("trial", {}, apart=site.apart), NODES, tmp_path)
    result.begin()
    return result


def ask(visitors: Visitors, *, updates: bool) -> Run:
    return visitors.ask(connections=4, updates=updates, seconds=1)


def test_right_answers_are_found_right_run_after_run(site: Site, visitors: Visitors) -> None:
    runs = [ask(visitors, updates=updates) for updates in (True, False, True, False)]
    assert [(run.errors, run.wrong, run.example) for run in runs] == [(0, 0, "")] * 4
    assert all(run.requests > 50 and run.p50 <= run.p99 for run in runs)
    # What wrk says that it was answered is what the site counted, but for those under way at the ends.
    updates = sum(site.counts.values()) - len(site.counts)
    assert 0 <= updates - runs[0].requests - runs[2].requests <= 8 * 3


@pytest.mark.parametrize(("wrong", "said"), [("lost", "should be at"), ("other", "should be at"), ("refused", "503: ")])
def test_each_wrong_answer_is_seen(site: Site, visitors: Visitors, wrong: str, said: str) -> None:
    site.wrong, site.wrong_every = wrong, 25
    run = ask(visitors, updates=True)
    assert run.wrong >= run.requests // 25 // 2 > 0
    assert said in run.example


def test_a_page_that_only_looks_must_not_change_the_session(site: Site, visitors: Visitors) -> None:
    for place in site.counts:
        site.counts[place] += 1
    run = ask(visitors, updates=False)
    assert run.wrong > 0


def test_a_site_that_does_not_answer_as_it_should_is_named(site: Site, tmp_path: Path) -> None:
    site.wrong, site.wrong_every = "refused", 1
    host, port = site.server_address[:2]
    with pytest.raises(StackError, match="trial: the page says 503"):
        Visitors(f"{host!s}:{port}", Store("trial", {}), NODES, tmp_path).begin()
