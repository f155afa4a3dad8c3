"""What ordinary PHP applications do: pages of the folder `ordinary`, and what one server with stock PHP answers.

To that comes the promise: what cannot be stored is an error, whatever the page has said of its success before.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.stack.browser import SESSION

FORM = {"Content-Type": "multipart/form-data; boundary=part"}
PICTURE = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")
FIRST, MADE_UP = "the first one", "made up"
"""Cookies that a request may bring instead of the visitor's: his first session, or one that nobody has given out."""


def upload(**fields: str) -> bytes:
    """A form with these fields and a file of three bytes."""
    parts = [
        f'--part\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()
    ]
    file = '--part\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nabc\r\n--part--\r\n'
    return ("".join(parts) + file).encode()


@dataclass(frozen=True)
class Ask:
    """A request, and its right answer.

    Attributes:
        page: With its query; {name} stands for what an earlier `matches` has found, {own} for a word of this run.
        says: All of the body; None: whatever it may be.
        matches: A regular expression that the body fits as a whole.
        status: Of the answer.
        refused: Whether the session cannot be stored: an error then, with neither cookies nor a place to go to.
        session: Whether it gives the visitor a session, that is another one; None: as it likes.
        has: What headers contain.
        within: Seconds in which it has to come.
        anew: Whether somebody else asks, without cookies.
        cookie: A session to bring instead of the visitor's own.
        method: Of HTTP.
        headers: More that are sent.
        body: What is sent.
    """

    page: str
    says: str | bytes | None = None
    matches: str | None = None
    status: int = 200
    refused: bool = False
    session: bool | None = None
    has: Mapping[str, str] = field(default_factory=dict)
    within: float = 60
    anew: bool = False
    cookie: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Case:
    """Requests of one visitor, one after the other.

    Attributes:
        name: What the application does.
        asks: The requests.
        stock: Whether stock PHP answers so too, on one server; what is not so is our promise.
        ini: Settings with which it does, where Debian's and those that the product advertises are others.
    """

    name: str
    asks: Sequence[Ask]
    stock: bool = True
    ini: Mapping[str, str] = field(default_factory=dict)


def counts(page: str, *numbers: int | str) -> list[Ask]:
    """The page says one number after the other."""
    return [Ask(page, str(number)) for number in numbers]


def _again(how: str, says: int, after: int) -> Case:
    asks = [Ask("count.php", "1"), Ask(f"again.php?by={how}", str(says), within=10), Ask("count.php", str(after))]
    return Case(f"a session is used again: {how}", asks)


def _mixed(name: str, page: str) -> list[Case]:
    first = [Ask("count.php", "1"), Ask(page, "2"), Ask("count.php", "3"), Ask(page, "4"), Ask("look.php", '{"n":4}')]
    return [
        Case(f"{name}, after plain pages", first),
        Case(f"{name}, before plain pages", [*counts(page, 1, 2), Ask("count.php", "3"), Ask(page, "4")]),
    ]


def _late(when: str) -> Case:
    asks = [Ask(f"late.php?by={when}", "1"), Ask("look.php", f'{{"late":"{when}","n":1}}')]
    return Case(f"a change at the end: {when}", [*asks, *asks[1:]])


def _ends(how: str, status: int, says: str) -> Case:
    return Case(f"a page ends: {how}", [Ask(f"ends.php?by={how}", says, status=status), Ask("count.php", "2")])


def _refused(what: str, how: str) -> Case:
    page = f"refused.php?what={what}&how={how}"
    asks = [Ask("count.php", "1"), Ask(page, refused=True), Ask("count.php", "2", session=False)]
    return Case(f"not stored: {what}, {how}", asks, stock=False)


LATE = [
    "destructor",
    "shutdown function",
    "last shutdown function",
    "output callback",
    "header callback",
    "after an exit",
]
TOLD_BEFORE = [
    "nothing",
    "status line",
    "redirect",
    "see other",
    "redirect by status line",
    "code",
    "nothing to say",
    "not modified",
    "length",
    "flush",
    "ob_flush",
    "no buffers",
    "long",
    "implicit flush",
    "output callback",
    "compression",
    "header callback",
    "shutdown function",
    "exit",
    "exit in a shutdown function",
    "exception",
    "fatal error",
    "caught",
    "commit",
    "error handler",
    "finish",
    "lying handler",
    "compression by PHP",
    "header callback that exits",
    "output callback that throws",
    "output callback that exits",
    "shutdown function that throws",
    "errors shown",
    "cleaned",
    "headers removed",
    "regenerate",
    "regenerate and end the old one",
    "destructor",
]
UNSTORABLE = ["closure", "throws", "exit", "name", "memory"]

CASES = [
    Case(
        "the plain page",
        [Ask("count.php", "1", session=True), Ask("count.php", "2", session=False), Ask("count.php", "3")],
    ),
    Case("a page without a session", [Ask("index.php", "here", session=False)]),
    # What a page sets for itself does not reach the store.
    *[
        Case(
            f"an error handler: {kind}",
            [
                Ask(f"error-handler.php?with={kind}", "1", cookie=MADE_UP, session=True),
                Ask(f"error-handler.php?with={kind}", "2"),
                Ask("count.php", "3"),
            ],
        )
        for kind in ("silence", "exceptions")
    ],
    *_mixed("PHP's own handler as an object", "handlers.php?by=object"),
    *_mixed("a subclass of PHP's own handler", "handlers.php?by=subclass"),
    *_mixed("a proxy of PHP's own handler", "handlers.php?by=proxy"),
    *_mixed("a handler that stores what has changed, and does not close", "handlers.php?by=care"),
    Case(
        "a handler that stores what has changed, and nothing has",
        [Ask("count.php", "1"), *[Ask("handlers.php?by=care&look=1", "1")] * 3, Ask("count.php", "2")],
    ),
    Case("a handler that encrypts", counts("handlers.php?by=encryption", 1, 2, 3, 4)),
    *_mixed("the module files by ini_set", "handlers.php?by=ini"),
    *_mixed("the module files by its function", "handlers.php?by=module"),
    *[
        Case(f"a save path of its own: {how}", counts(f"save-path.php?by={how}", 1, 2, 3, 4))
        for how in ("function", "ini", "start")
    ],
    Case(
        "session.auto_start in .user.ini",
        [*counts("auto-start/count.php", 1, 2), Ask("count.php", "3"), Ask("auto-start/count.php", "4")],
    ),
    Case(
        "upload progress in .user.ini",
        [
            Ask("count.php", "1"),
            Ask(
                "progress/upload.php",
                "2 [true,3]",
                method="POST",
                headers=FORM,
                body=upload(PHP_SESSION_UPLOAD_PROGRESS="mine"),
            ),
            Ask("count.php", "3"),
        ],
    ),
    Case(
        "an upload",
        [
            Ask("count.php", "1"),
            Ask("upload.php", "2 3 []", method="POST", headers=FORM, body=upload(PHP_SESSION_UPLOAD_PROGRESS="mine")),
            Ask("upload.php", "3 3 []", method="POST", headers=FORM, body=upload(field="value")),
            Ask("count.php", "4"),
        ],
    ),
    *map(_late, LATE),
    Case("no buffers, and a handler of its own", [Ask("buffers.php?with=a handler of its own", "42")] * 2),
    Case(
        "no buffers, and a flag that is unset",
        [Ask("buffers.php?with=a flag", "sent"), Ask("look.php", "[]"), Ask("look.php", "[]")],
    ),
    Case(
        "no buffers, and a change after them",
        [Ask("buffers.php?with=a late change", "sent"), Ask("look.php", '{"n":1}')],
    ),
    *[
        Case(
            f"the session is opened at the end: {when}",
            [*counts(f"late-start.php?by={when}", "page 1", "page 2"), Ask("count.php", "3")],
        )
        for when in ("destructor", "shutdown function", "output callback")
    ],
    Case(
        "the session is opened when the page has begun",
        [Ask("count.php", "1"), Ask("begun.php", "begun\n2"), Ask("count.php", "3")],
    ),
    Case(
        "a page that says its length",
        [Ask("length.php", "x" * 300_000 + str(number), has={"Content-Length": "300001"}) for number in (1, 2)],
    ),
    Case(
        "all that .user.ini may say",
        [
            Ask("user-ini/count.php", "1 2", session=True, has={"Set-Cookie": "HttpOnly"}),
            Ask("user-ini/count.php", "3 4", session=False),
        ],
    ),
    Case(
        "a save path in .user.ini",
        [Ask("count.php", "1"), Ask("user-ini/count.php", "2 3", session=False), Ask("count.php", "4", session=False)],
        stock=False,
    ),
    # Ids.
    *[
        Case(
            f"a cookie of a wrong form: {form}",
            [Ask("count.php", "1", cookie=cookie, session=True), Ask("count.php", "2")],
        )
        for form, cookie in {
            "a path": "..%2f..%2fetc%2fpasswd",
            "too long": "a" * 300,
            "a zero": "abc%00def",
            "nothing": "%20",
        }.items()
    ],
    Case(
        "an id of the visitor's own making",
        [Ask("count.php", "1", cookie=MADE_UP, session=True), Ask("count.php", "2", session=False)],
    ),
    Case(
        "no strict mode",
        [
            Ask("session-options.php?with=no strict mode", "1", cookie="chosen-by-{own}", session=False),
            Ask("session-options.php?with=no strict mode", "2", cookie="chosen-by-{own}", session=False),
            Ask("count.php", "3", cookie="chosen-by-{own}", session=False),
        ],
    ),
    *[
        Case(
            f"an id of the program's own: {id_}",
            [Ask(f"own-id.php?id={id_}", str(number), anew=True) for number in (1, 2, 3)],
            ini={"session.use_strict_mode": "0"},
        )
        for id_ in ("shared-counter-of-all-visitors-{own}", "a{own}", "x,{own}-Y")
    ],
    Case(
        "an id of the program's own, and it asks for strict mode",
        [
            Ask("own-id.php?id=strict-{own}&strict=1", "1", session=True),
            Ask("own-id.php?id=strict-{own}&strict=1", "1"),
        ],
    ),
    Case(
        "an id of the program's own, where ids come in URLs",
        [Ask("own-id.php?id=urls-{own}&urls=1", str(number), anew=True, session=False) for number in (1, 2)],
        ini={"session.use_strict_mode": "0"},
    ),
    Case(
        "an id of the visitor's own making, in a URL",
        [
            Ask(f"links.php?{SESSION}=chosen-by-{{own}}", matches=rf"(?!.*chosen-by).*{SESSION}=[^>]*>1<.*"),
            Ask(f"links.php?{SESSION}=chosen-by-{{own}}", matches=rf"(?!.*chosen-by).*{SESSION}=[^>]*>1<.*"),
        ],
    ),
    Case(
        "a login",
        [
            Ask("count.php", "1"),
            Ask("login.php?old=ends", "", status=303, has={"Location": "/look.php"}, session=True),
            Ask("look.php", '{"n":1,"user":"ann"}', session=False),
            Ask("count.php", "2"),
        ],
    ),
    Case(
        "a login, and a request that comes late",
        [
            Ask("count.php", "1"),
            Ask("login.php?old=ends", status=303, session=True),
            Ask("look.php", cookie=FIRST, session=False),
            Ask("look.php", '{"n":1,"user":"ann"}', session=False),
        ],
        stock=False,
    ),
    Case(
        "a login that lets the old session be",
        [
            Ask("count.php", "1"),
            Ask("login.php?old=stays", status=303, session=True),
            Ask("count.php", "2", cookie=FIRST, session=False),
            Ask("look.php", '{"n":1,"user":"ann"}'),
        ],
    ),
    Case(
        "twenty new ids in one page",
        [
            Ask("count.php", "1"),
            Ask("regenerate.php?times=20", "2", session=True),
            Ask("count.php", "3", session=False),
        ],
    ),
    Case("a logout", [Ask("count.php", "1"), Ask("logout.php", "bye"), Ask("count.php", "1", session=True)]),
    Case(
        "a logout, and the cookie comes back",
        [Ask("count.php", "1"), Ask("logout.php", "bye"), Ask("count.php", "1", cookie=FIRST, session=True)],
    ),
    # Options.
    Case(
        "read_and_close",
        [Ask("count.php", "1"), Ask("session-options.php?with=read_and_close", "2"), Ask("count.php", "2")],
    ),
    Case(
        "another name",
        [
            Ask("session-options.php?with=another name", "1", has={"Set-Cookie": "SHOP="}),
            Ask("count.php", "1"),
            *counts("session-options.php?with=another name", 2, 3),
        ],
    ),
    Case("no lazy_write", counts("session-options.php?with=no lazy_write", 1, 2, 3)),
    Case(
        "long ids",
        [
            Ask("session-options.php?with=long ids", "1", has={"Set-Cookie": f"{SESSION}="}),
            *counts("session-options.php?with=long ids", 2, 3),
        ],
    ),
    Case(
        "a cookie of its own kind",
        [
            Ask(
                "session-options.php?with=a cookie of its own kind",
                "1",
                has={"Set-Cookie": "path=/shop; secure; HttpOnly; SameSite=Strict"},
            )
        ],
    ),
    Case("collection with each request", counts("session-options.php?with=collection each time", 1, 2, 3)),
    Case("no cookie", [Ask("session-options.php?with=no cookie", "1", session=False)] * 2),
    Case(
        "the id in links",
        [
            Ask("links.php", matches=rf'<a href="links\.php\?{SESSION}=(?P<link>[^"&]+)">1</a>', session=False),
            Ask(f"links.php?{SESSION}={{link}}", matches=rf'<a href="links\.php\?{SESSION}=[^"]+">2</a>'),
        ],
    ),
    Case("the serializer php_serialize", counts("serializer.php", 1, 2, 3)),
    # PHP's functions.
    _again("reset", 1, 2),
    _again("abort", 2, 2),
    _again("commit and start", 3, 4),
    _again("destroy and start", 1, 2),
    _again("start twice", 2, 3),
    _again("encode and decode", 2, 3),
    _again("unset", 1, 2),
    _again("gc", 2, 3),
    _again("a new id by hand", 7, 8),
    _again("two sessions", 2, 3),
    *[
        Case(
            f"$_SESSION: {what}",
            [Ask("count.php", "1"), Ask(f"odd.php?by={what}", "done"), Ask("count.php", str(after))],
        )
        for what, after in {
            "unset": 3,
            "null": 2,
            "text": 2,
            "object": 2,
            "empty": 1,
            "a reference": 7,
            "numbers as names": 3,
            "strange names": 3,
            "a change after its end": 3,
        }.items()
    ],
    # How a page ends.
    _ends("exit", 200, "1"),
    _ends("exception", 500, ""),
    _ends("fatal error", 500, ""),
    _ends("memory limit", 500, ""),
    _ends("time limit", 500, ""),
    *[
        Case(
            f"something goes on behind a page: {how}",
            [Ask("count.php", "1"), Ask(f"child.php?by={how}", "2", within=12), Ask("count.php", "3", within=12)],
        )
        for how in ("exec", "shell_exec", "proc_open")
    ],
    Case("the visitor is let go", [Ask("finish.php?then=nothing", "1"), Ask("count.php", "2")]),
    Case("the visitor is let go, and a change follows", [Ask("finish.php?then=change", "1"), Ask("count.php", "3")]),
    # What is kept, and what is sent.
    Case("values of all kinds", [Ask("values.php", "kept"), *[Ask("values.php", '[true,true,"changed"]')] * 3]),
    Case("8 MiB", [Ask("large.php?MiB=8", "kept"), Ask("large.php", "true"), Ask("large.php", "true")]),
    Case(
        "15 MiB, then less",
        [
            Ask("large.php?MiB=15", "kept"),
            Ask("large.php", "true"),
            Ask("large.php?MiB=1", "kept"),
            Ask("large.php", "true"),
        ],
    ),
    Case("HEAD", [Ask("count.php", "", method="HEAD", session=True), Ask("count.php", "2")]),
    Case(
        "a compressed page",
        [
            Ask(
                "compressed.php",
                "1 " + "compressed " * 10,
                headers={"Accept-Encoding": "gzip"},
                has={"Content-Encoding": "gzip"},
            ),
            Ask("count.php", "2"),
        ],
    ),
    *[
        Case(
            f"junk, then a picture{with_}",
            [
                Ask(
                    page,
                    PICTURE,
                    has={"Content-Type": "image/gif"},
                )
            ],
        )
        for page, with_ in (("image.php", ""), ("image.php?session=1", ", with a session"))
    ],
    Case(
        "notices are exceptions, and the page is sent early",
        [Ask("notices.php", "1 sent"), Ask("notices.php", "2 sent"), Ask("count.php", "3")],
    ),
    # The promise.
    *[
        Case(
            f"a session that the code cannot read: {how}",
            [
                Ask("decode.php?code=old", "1"),
                Ask(f"decode.php?code={how}", refused=how != "throws", status=500),
                Ask("decode.php?code=old", "2", session=False),
            ],
            stock=False,
        )
        for how in ("throws", "fatal error", "exits", "memory limit")
    ],
    Case(
        "a session that takes more memory than a page has",
        [
            Ask("large.php?MiB=8", "kept"),
            Ask("large.php?limit=6M", refused=True),
            Ask("large.php", "true", session=False),
        ],
        stock=False,
    ),
    *[_refused("size", how) for how in TOLD_BEFORE],
    *[_refused(what, how) for what in UNSTORABLE for how in ("nothing", "see other", "no buffers", "header callback")],
]
