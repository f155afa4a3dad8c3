"""tests/php: a right answer is believed, each way to be wrong is seen, and so is a table that tells no truth."""

import hashlib
import io
import socket
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.php.exceptions import Excepted, excepted
from tests.php.fastcgi import Answer, Request, ask
from tests.php.phpt import Phpt
from tests.php.source import Package, Source, fetched, of_sources
from tests.php.trial import Comparison, compare, complaints, needed, report


def phpt(text: str, name: str = "ext/x/tests/one.phpt") -> Phpt:
    return Phpt.parse(name, text.encode("latin-1"))


def answer(body: str, head: str = "Content-type: text/html") -> Answer:
    return Answer(head.encode(), body.encode("latin-1"))


# What a test is.

WHOLE = """\
--TEST--
a title
--INI--
session.save_path={PWD}/saved
session.trans_sid_tags = "a=href"
precision=;no comment
--GET--
a=1&b=2
--COOKIE--
PHPSESSID=one
--EXTENSIONS--
Session
zlib
--SKIPIF--
<?php echo "skip"; ?>
--FILE--
<?php echo 1; ?>
===DONE===
nothing of this
--CLEAN--
<?php unlink("x"); ?>
--EXPECT--
1
===DONE===
"""


def test_a_test_is_read_as_php_reads_it() -> None:
    test = phpt(WHOLE)
    assert test.extensions == ("session", "zlib")
    assert test.files == {
        "ext/x/tests/one.php": b"<?php echo 1; ?>\n===DONE===\n",
        "ext/x/tests/one.skip.php": b'<?php echo "skip"; ?>\n',
        "ext/x/tests/one.clean.php": b'<?php unlink("x"); ?>\n',
    }
    asked = test.request("/root").parameters
    assert asked["SCRIPT_FILENAME"] == "/root/ext/x/tests/one.php"
    assert (asked["REQUEST_METHOD"], asked["QUERY_STRING"], asked["HTTP_COOKIE"]) == ("GET", "a=1&b=2", "PHPSESSID=one")
    ini = asked["PHP_VALUE"].splitlines()
    # As `php -d` takes them: a value that begins with no letter or digit is quoted, unless it is quoted already.
    assert 'session.save_path="/root/ext/x/tests/saved"' in ini
    assert 'session.trans_sid_tags="a=href"' in ini
    assert 'precision=";no comment"' in ini and "precision=14" not in ini
    assert "error_reporting=32767" in ini


def test_what_skips_and_cleans_has_nothing_of_the_tests_own_settings() -> None:
    test = phpt(WHOLE)
    for asked, ending in ((test.may_be_skipped("/root"), "skip"), (test.cleans_up("/root"), "clean")):
        assert asked is not None
        assert asked.parameters["SCRIPT_FILENAME"] == f"/root/ext/x/tests/one.{ending}.php"
        assert "session.save_path" not in asked.parameters["PHP_VALUE"] and "HTTP_COOKIE" not in asked.parameters
    plain = phpt("--TEST--\n--FILE--\n--EXPECT--\n")
    assert plain.may_be_skipped("/root") is None and plain.cleans_up("/root") is None


@pytest.mark.parametrize(
    ("section", "method", "kind", "body"),
    [
        ("--POST--\na=1\n", "POST", "application/x-www-form-urlencoded", b"a=1"),
        ("--POST_RAW--\nContent-Type: text/plain\none\n\ntwo\n", "POST", "text/plain", b"one\n\ntwo"),
        ("--PUT--\nContent-Type: text/plain\none\n", "PUT", "text/plain", b"one"),
        ("", "GET", None, b""),
    ],
)
def test_a_body_is_sent(section: str, method: str, kind: str | None, body: bytes) -> None:
    asked = phpt(f"--TEST--\n{section}--FILE--\n--EXPECT--\n").request("/root")
    told = asked.parameters
    assert (told["REQUEST_METHOD"], told.get("CONTENT_TYPE"), asked.body) == (method, kind, body)
    assert told.get("CONTENT_LENGTH") == (str(len(body)) if body else None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("--TEST--\n--EXPECT--\n", "no section FILE"),
        ("--TEST--\n--FILE--\n", "one of EXPECT, EXPECTF and EXPECTREGEX"),
        ("--TEST--\n--FILE--\n--EXPECT--\n--EXPECTF--\n", "one of EXPECT, EXPECTF and EXPECTREGEX"),
        ("--TEST--\n--FILE--\n1\n--FILE--\n--EXPECT--\n", "FILE is there twice"),
        ("<?php\n", "does not begin with a section"),
    ],
)
def test_what_is_no_test_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        phpt(text)


# What a right answer is.


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ("int(%d)", ["int(7)", "int(007)"], ["int(-7)", "int()", "int(7", "int(7)x"]),
        ("%i", ["7", "-7", "+7"], ["7.0", ""]),
        ("%f", ["1", "1.5", "-.5", "1e9", "1.5E-3"], ["1.", "."]),
        ("%x", ["0aF"], ["0x1"]),
        ("a%sb", ["axb", "a\0b"], ["ab", "ax\nb"]),
        ("a%Sb", ["ab", "axb"], ["a\nb"]),
        ("a%ab", ["a\nb"], ["ab"]),
        ("a%Ab", ["ab", "a\n\nb"], ["a"]),
        ("a%wb", ["ab", "a \n b"], ["axb"]),
        ("a%cb", ["axb", "a\nb"], ["ab", "axyb"]),
        ("a%eb", ["a/b"], ["a\\b"]),
        ("a%0b", ["a\0b"], ["a0b"]),
        ("%r[ab]+|(c)%r.", ["ab.", "c."], ["abx", "", "."]),
        ("a%rb", ["a%rb"], ["a", "ab"]),
        ("(a|b)* [x] %%", ["(a|b)* [x] %%"], ["a [x] %%"]),
    ],
)
def test_placeholders(expected: str, right: list[str], wrong: list[str]) -> None:
    test = phpt(f"--TEST--\n--FILE--\n--EXPECTF--\n{expected}\n")
    assert [text for text in right if not test.judge(answer(text)).passed] == []
    assert [text for text in wrong if test.judge(answer(text)).passed] == []


@given(st.text("ab. \n*[-", max_size=30).filter(lambda text: "--" not in text))
def test_a_text_without_placeholders_stands_for_itself(text: str) -> None:
    test = phpt(f"--TEST--\n--FILE--\n--EXPECTF--\n{text}\n")
    assert test.judge(answer(text)).passed
    assert not test.judge(answer(text.strip() + "x")).passed


EXPECT = "--TEST--\n--FILE--\n--EXPECT--\none\ntwo\n"


@pytest.mark.parametrize(
    ("text", "given", "passed"),
    [
        (EXPECT, answer("one\ntwo"), True),
        (EXPECT, answer("\n one\r\ntwo\n"), True),
        (EXPECT, answer("one\ntwo\nthree"), False),
        (EXPECT, answer("one"), False),
        (EXPECT, answer(""), False),
        (EXPECT, answer("", "Status: 503 Service Unavailable"), False),
        # A worker that died said all that was expected, and not that this is all.
        (EXPECT, Answer(b"", b"one\ntwo", ended=False), False),
        # Of PHP's CGI each byte counts.
        (EXPECT + "--GET--\na=1\n", answer("one\ntwo"), True),
        (EXPECT + "--GET--\na=1\n", answer("one\r\ntwo"), False),
        ("--TEST--\n--FILE--\n--EXPECTREGEX--\na+|b\n", answer("aa"), True),
        ("--TEST--\n--FILE--\n--EXPECTREGEX--\na+|b\n", answer("aac"), False),
        (EXPECT + "--EXPECTHEADERS--\nX-One: 1\n", answer("one\ntwo", "X-One: 1\r\nX-Two: 2"), True),
        (EXPECT + "--EXPECTHEADERS--\nX-One: 1\n", answer("one\ntwo", "X-One: 11"), False),
        (EXPECT + "--EXPECTHEADERS--\nX-One: 1\n", answer("one\ntwo"), False),
    ],
)
def test_an_answer_is_judged(text: str, given: Answer, passed: bool) -> None:
    judgement = phpt(text).judge(given)
    assert judgement.passed == passed
    assert bool(judgement.reason or given.body == b"") != passed


# How PHP is asked.

RECORD = struct.Struct("!BBHHBx")
STDOUT, END = 6, 3


def record(kind: int, content: bytes, padding: int = 0) -> bytes:
    return RECORD.pack(1, kind, 1, len(content), padding) + content + bytes(padding)


@dataclass
class Listener:
    """A FastCGI server that says what it was told to say, and keeps what it was asked."""

    path: Path
    says: list[bytes]
    heard: bytes = b""

    def serve(self, ready: threading.Event, enough: threading.Event) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.path))
            server.listen()
            ready.set()
            connection, _ = server.accept()
            with connection:
                while not self.heard.endswith(record(5, b"")):
                    self.heard += connection.recv(65536)
                for part in self.says:
                    connection.sendall(part)
                if not self.says:
                    enough.wait(10)


@pytest.fixture
def listens(tmp_path: Path) -> Iterator[Callable[[list[bytes]], Listener]]:
    enough = threading.Event()
    threads = []

    def start(says: list[bytes]) -> Listener:
        listener, ready = Listener(tmp_path / "socket", says), threading.Event()
        threads.append(threading.Thread(target=listener.serve, args=(ready, enough)))
        threads[-1].start()
        assert ready.wait(10)
        return listener

    yield start
    enough.set()
    for thread in threads:
        thread.join()


def test_an_answer_in_pieces_is_put_together(listens: Callable[[list[bytes]], Listener]) -> None:
    output = b"Status: 404 Not Found\r\nX-One: 1\r\nX-One: 2\r\n\r\none\r\n\r\ntwo"
    sent = record(STDOUT, output[:30], 2) + record(7, b"an error") + record(STDOUT, output[30:]) + record(END, bytes(8))
    listener = listens([sent[at : at + 7] for at in range(0, len(sent), 7)])
    got = ask(listener.path, Request({}), 10)
    assert (got.status, got.header("x-one"), got.body, got.ended) == (404, "2", b"one\r\n\r\ntwo", True)


@pytest.mark.parametrize("said", [[record(STDOUT, b"\r\n\r\nhalf")], [record(STDOUT, b"\r\n\r\nhalf") + b"\1\6"]])
def test_a_worker_that_died_has_not_ended_its_answer(
    listens: Callable[[list[bytes]], Listener], said: list[bytes]
) -> None:
    got = ask(listens(said).path, Request({}), 10)
    assert (got.body, got.ended) == (b"half", False)


def test_silence_has_a_limit(listens: Callable[[list[bytes]], Listener]) -> None:
    with pytest.raises(TimeoutError):
        ask(listens([]).path, Request({}), 0.2)


def test_all_of_a_long_request_is_sent(listens: Callable[[list[bytes]], Listener]) -> None:
    request = Request({"NAME": "v" * 200, "LONG": "v" * 100_000}, b"b" * 100_000)
    listener = listens([record(END, bytes(8))])
    ask(listener.path, request, 10)
    streams, rest = {4: b"", 5: b""}, listener.heard
    while rest:
        _, kind, _, length, _ = RECORD.unpack_from(rest)
        streams[kind] = streams.get(kind, b"") + rest[8 : 8 + length]
        rest = rest[8 + length :]
    assert streams[5] == request.body
    first = b"\4" + struct.pack("!I", 200 | 0x80000000) + b"NAME" + b"v" * 200
    assert streams[4] == first + b"\4" + struct.pack("!I", 100_000 | 0x80000000) + b"LONG" + b"v" * 100_000


# What becomes of two PHPs.


class Fake:
    """A PHP that has an answer for each file."""

    def __init__(self, name: str, answers: dict[str, Answer | Exception]) -> None:
        self.root = f"/{name}"
        self.answers: dict[str, Answer | Exception] = {"loaded": answer("Core\nsession\nZend OPcache"), **answers}
        self.asked: list[str] = []

    def ask(self, request: Request, limit: float) -> Answer:
        assert limit > 0
        name = request.parameters["SCRIPT_FILENAME"].removeprefix(f"{self.root}/").removesuffix(".php")
        self.asked.append(name)
        said = self.answers[name]
        if isinstance(said, Exception):
            raise said
        return said


def compared(tests: dict[str, str], stock: dict[str, Answer | Exception], **product: Answer | Exception) -> Comparison:
    parsed = [phpt(text, f"{name}.phpt") for name, text in tests.items()]
    return compare(parsed, Fake("stock", stock), Fake("product", {**stock, **product}))


TESTS = {
    "a": "--TEST--\n--FILE--\n--EXPECT--\nright\n",
    "b": "--TEST--\n--FILE--\n--EXPECTHEADERS--\nX-One: 1\n--EXPECT--\nright\n",
}
RIGHT: dict[str, Answer | Exception] = {"a": answer("right"), "b": answer("right", "X-One: 1")}


def test_the_same_answers_are_no_difference() -> None:
    found = compared(TESTS, RIGHT)
    assert (found.right, found.worse) == ({"a.phpt", "b.phpt"}, set())
    assert str(found) == "2 of the 2 that stock PHP passes"
    assert complaints(found, []) == []


@pytest.mark.parametrize(
    ("name", "wrong", "reason"),
    [
        ("a", answer("wrong"), "wrong"),
        ("a", answer(""), ""),
        ("a", answer("right\nand more"), "and more"),
        ("a", Answer(b"", b"right", ended=False), "no end"),
        ("a", TimeoutError(), "no answer within"),
        ("b", answer("right", "X-One: 2"), "without X-One: 1"),
        ("b", answer("right"), "without X-One: 1"),
    ],
)
def test_a_wrong_answer_is_seen(name: str, wrong: Answer | Exception, reason: str) -> None:
    found = compared(TESTS, RIGHT, **{name: wrong})
    assert found.worse == {f"{name}.phpt"}
    [said] = complaints(found, [])
    assert said.startswith(f"{name}.phpt fails, and is no exception") and reason in said
    assert f"FAILS {name}.phpt" in report(found)
    assert complaints(found, [f"{name}.phpt"]) == []


def test_a_list_that_does_not_tell_the_truth_is_seen() -> None:
    found = compared(TESTS, {**RIGHT, "b": answer("wrong on stock PHP, too")})
    assert complaints(found, ["a.phpt", "b.phpt", "c.phpt"]) == [
        "a.phpt is an exception, and passes",
        "b.phpt is an exception, and stock PHP does not pass it either",
        "c.phpt is an exception, and there is no such test",
    ]


def test_what_does_not_apply_here_says_nothing() -> None:
    tests = {
        "skipped": "--TEST--\n--SKIPIF--\n<?php\n--FILE--\n--EXPECT--\nright\n",
        "without": "--TEST--\n--EXTENSIONS--\nsession\nnonesuch\n--FILE--\n--EXPECT--\nright\n",
        "with": "--TEST--\n--EXTENSIONS--\nsession\n--FILE--\n--EXPECT--\nright\n",
    }
    stock: dict[str, Answer | Exception] = {"skipped.skip": answer("\nSKIP not here"), "with": answer("right")}
    found = compared(tests, stock)
    assert found.right == {"with.phpt"}
    assert found.stock["skipped.phpt"].reason == "skipped: SKIP not here"
    assert "no nonesuch" in found.stock["without.phpt"].reason
    assert "SAYS NOTHING skipped.phpt" in report(found)


def test_what_a_test_leaves_is_removed_even_if_it_fails() -> None:
    text = "--TEST--\n--FILE--\n--CLEAN--\n<?php\n--EXPECT--\nright\n"
    for said in (answer("right"), answer("wrong"), TimeoutError()):
        pool = Fake("x", {"a": said, "a.clean": answer("")})
        compare([phpt(text, "a.phpt")], pool, Fake("y", {"a": said, "a.clean": answer("")}))
        assert pool.asked == ["loaded", "a", "a.clean"]


# Where tests come from.

RELEASED = {"8.2.9-1~deb12u1": "nine", "8.2.10-1~deb12u1": "ten", "8.2.11-1~deb12u1": "eleven"}


def mirror(folder: Path, lost: set[str]) -> dict[str, str]:
    """A place with the source packages of RELEASED, in which files of some versions are missing."""
    index = []
    for version, text in RELEASED.items():
        name = f"php8.2_{version.partition('-')[0]}.orig.tar.xz"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:xz") as archive:
            for path in ("ext/session/tests/a.phpt", "ext/session/tests/b.inc", "ext/session/session.c"):
                content = f"--TEST--\n{text}\n--FILE--\n--EXPECT--\n".encode()
                member = tarfile.TarInfo(f"php-{version}/{path}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        content = packed.getvalue()
        if version not in lost:
            (folder / name).write_bytes(content)
        index += [
            f"Package: php8.2\nBinary: php8.2-fpm\nVersion: {version}\nArchitecture: any\nFormat: 3.0 (quilt)",
            f"Directory: .\nChecksums-Sha256:\n {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n",
        ]
    (folder / "Sources").write_text("\n".join(index))
    return {"list": f"deb [trusted=yes allow-insecure=yes] file:{folder} ./\n", "sources": ""}


@pytest.mark.parametrize(
    ("wanted", "lost", "got"),
    [
        ("8.2.10-1~deb12u1", set(), "8.2.10-1~deb12u1"),
        ("8.2.10-1~deb12u1", {"8.2.10-1~deb12u1"}, "8.2.11-1~deb12u1"),
        ("8.2.8-1~deb12u1", {"8.2.11-1~deb12u1"}, "8.2.10-1~deb12u1"),
    ],
)
def test_the_tests_are_those_of_the_php_that_runs(tmp_path: Path, wanted: str, lost: set[str], got: str) -> None:
    sources = mirror(tmp_path, lost)
    cache = tmp_path / "cache"
    source = fetched(Package("php8.2", wanted), [sources], cache)
    assert source.version == got
    [test] = source.tests(["ext/session/tests/*"])
    assert test.sections["TEST"].decode().strip() == RELEASED[got]
    # What is not for tests stays in the package, and nothing else is left.
    assert sorted(needed(source, ["*"])) == ["VERSION", *sorted(needed(source, ["ext/session/tests/*"]))]
    assert [path.name for path in cache.iterdir()] == [f"php-tests-php8.2-{wanted}"]
    # The second time nobody is asked.
    assert fetched(Package("php8.2", wanted), [], cache) == source


def test_an_older_php_has_tests_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "Sources").touch()
    places = [{"list": f"deb [trusted=yes allow-insecure=yes] file:{tmp_path}/empty ./\n"}, mirror(tmp_path, set())]
    assert fetched(Package("php8.4", "8.4.1-1"), places, tmp_path / "cache").version == "8.2.11-1~deb12u1"


def test_a_php_without_any_source_is_an_error(tmp_path: Path) -> None:
    sources = mirror(tmp_path, set(RELEASED))
    with pytest.raises(LookupError, match=r"neither php8\.2 nor an older PHP"):
        fetched(Package("php8.2", "8.2.9-1~deb12u1"), [sources], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_sources_are_asked_of_the_place_that_has_the_packages() -> None:
    lines = "# deb\ndeb http://a/debian bookworm main\ndeb-src http://b/ x main\n\n"
    assert of_sources(lines) == "# deb\ndeb-src http://a/debian bookworm main\ndeb-src http://b/ x main\n\n"
    paragraphs = "Types: deb deb-src\nURIs: http://a/debian\n"
    assert of_sources(paragraphs) == "Types: deb-src\nURIs: http://a/debian\n"


def test_each_php_gets_what_tests_include(tmp_path: Path) -> None:
    folder = tmp_path / "ext" / "x" / "tests"
    folder.mkdir(parents=True)
    (folder / "one.phpt").write_text(WHOLE)
    (folder / "common.inc").write_text("<?php")
    files = needed(Source("8.2", tmp_path), ["ext/x/*"])
    assert {"ext/x/tests/common.inc", "ext/x/tests/one.php", "ext/x/tests/one.skip.php", "loaded.php"} <= files.keys()


# The table.

HEAD = "text\n\n| test | PHP | what differs | why |\n| --- | --- | --- | --- |\n"


def table(folder: Path, rows: str, head: str = HEAD) -> Path:
    path = folder / "php.md"
    path.write_text(f"{head}{rows}\nmore text\n\n| test | of another table |\n| --- | --- |\n| `x` | y |\n")
    return path


def test_a_table_is_read(tmp_path: Path) -> None:
    rows = "| `a.phpt` | | one | two |\n| `b.phpt` | 8.2, 8.4 | three | four |\n"
    one, two = excepted(table(tmp_path, rows))
    assert one == Excepted("a.phpt", (), "one", "two")
    assert one.holds_of("8.2.36-1~deb12u1") and one.holds_of("8.4.28")
    assert two.holds_of("8.4.28") and not two.holds_of("8.3.1") and not two.holds_of("8.21.1")
    assert excepted(table(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("| `a.phpt` | | one | |\n", "a row needs"),
        ("| `a.phpt` | | | two |\n", "a row needs"),
        ("| | | one | two |\n", "a row needs"),
        ("| `a.phpt` | one | two |\n", "a row needs"),
        ("| `a.phpt` | | one | two |\n| `a.phpt` | 8.4 | one | two |\n", r"two rows for a\.phpt"),
    ],
)
def test_a_table_that_says_nothing_is_refused(tmp_path: Path, rows: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        excepted(table(tmp_path, rows))


def test_a_table_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no table"):
        excepted(table(tmp_path, "", "nothing\n"))


def test_the_projects_own_table_can_be_read() -> None:
    assert all(row.test.endswith(".phpt") for row in excepted())
