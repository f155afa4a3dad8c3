"""A test of PHP's own, a .phpt file: what it asks and which answer is right, as PHP's run-tests.php defines both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.php.fastcgi import Answer, Request

INI_OF_ALL_TESTS = {
    "output_handler": "",
    "open_basedir": "",
    "disable_functions": "",
    "output_buffering": "Off",
    "error_reporting": "32767",
    "display_errors": "1",
    "display_startup_errors": "1",
    "log_errors": "0",
    "html_errors": "0",
    "docref_root": "",
    "docref_ext": ".html",
    "error_prepend_string": "",
    "error_append_string": "",
    "ignore_repeated_errors": "0",
    "precision": "14",
    "serialize_precision": "-1",
    "memory_limit": "128M",
    "zend.assertions": "1",
    "zend.exception_ignore_args": "0",
    "zend.exception_string_param_max_len": "15",
    "short_open_tag": "0",
}
"""What run-tests.php sets for each test, but for what a pool cannot be given with a request, and the files that are
prepended and appended: those are a pool's own business, and part of what is judged."""

_SECTION = re.compile(rb"--([_A-Z]+)--")
_END_OF_FILE = re.compile(rb"===DONE===\s*\Z")
_BLANK = b" \t\n\r\0\x0b"
"""What PHP's trim() removes."""

_PLACEHOLDERS = {
    b"%e": b"/",
    b"%s": rb"[^\r\n]+",
    b"%S": rb"[^\r\n]*",
    b"%a": b".+",
    b"%A": b".*",
    b"%w": rb"\s*",
    b"%i": rb"[+-]?\d+",
    b"%d": rb"\d+",
    b"%x": b"[0-9a-fA-F]+",
    b"%f": rb"[+-]?(?:\d+|(?=\.\d))(?:\.\d+)?(?:[Ee][+-]?\d+)?",
    b"%c": b".",
    b"%0": rb"\x00",
}
_ANY_PLACEHOLDER = re.compile(b"|".join(map(re.escape, _PLACEHOLDERS)))


@dataclass(frozen=True)
class Judgement:
    """Whether an answer is right; if not, what is wrong with it, and the answer's text."""

    passed: bool
    reason: str = ""


@dataclass(frozen=True)
class Phpt:
    """One test.

    Attributes:
        name: Its path in PHP's source.
        sections: Their text by name, as bytes: tests are in many encodings.
    """

    name: str
    sections: Mapping[str, bytes]

    @classmethod
    def parse(cls, name: str, text: bytes) -> Phpt:
        """Raises ValueError for what run-tests.php refuses, too: sections that are missing or there twice."""
        sections: dict[str, bytes] = {}
        current = ""
        ended = False
        for line in text.splitlines(keepends=True):
            if begins := _SECTION.match(line):
                current, ended = begins[1].decode(), False
                if sections.get(current):
                    raise ValueError(f"{name}: the section {current} is there twice")
                sections[current] = b""
            elif not current:
                raise ValueError(f"{name}: it does not begin with a section")
            elif not ended:
                sections[current] += line
                ended = current in ("FILE", "FILEEOF") and bool(_END_OF_FILE.match(line))
        if "FILEEOF" in sections:
            sections["FILE"] = sections.pop("FILEEOF").rstrip(b"\r\n")
        if len(sections.keys() & {"EXPECT", "EXPECTF", "EXPECTREGEX"}) != 1:
            raise ValueError(f"{name}: one of EXPECT, EXPECTF and EXPECTREGEX should be there")
        if "FILE" not in sections:
            raise ValueError(f"{name}: there is no section FILE")
        return cls(name, sections)

    @property
    def base(self) -> str:
        """The name without its ending: those of the files that belong to it begin so."""
        return self.name.removesuffix(".phpt")

    @property
    def extensions(self) -> tuple[str, ...]:
        """PHP extensions without which it is left out."""
        return tuple(self._text("EXTENSIONS").decode().lower().split())

    @property
    def files(self) -> Mapping[str, bytes]:
        """PHP files that are asked for, by name: the test's own, what may say to leave it out, and what cleans up."""
        kept = {".php": "FILE", ".skip.php": "SKIPIF", ".clean.php": "CLEAN"}
        return {f"{self.base}{ending}": self.sections[name] for ending, name in kept.items() if self._text(name)}

    def request(self, root: str) -> Request:
        """What is asked of a PHP whose copy of the source lies in the folder `root`."""
        return self._asking(".php", root, self._ini(root)).with_(**self._environment(root)).with_body(*self._body())

    def may_be_skipped(self, root: str) -> Request | None:
        """Asks whether it is to be left out here; None when it never is."""
        return self._asking(".skip.php", root, INI_OF_ALL_TESTS) if self._text("SKIPIF") else None

    def cleans_up(self, root: str) -> Request | None:
        """Removes what the test leaves; None when it leaves nothing."""
        return self._asking(".clean.php", root, INI_OF_ALL_TESTS) if self._text("CLEAN") else None

    def judge(self, answer: Answer) -> Judgement:
        """Whether the answer is the expected one, headers included where the test names some."""
        body = answer.body if self._is_of_web else answer.body.replace(b"\r\n", b"\n")
        body = body.strip(_BLANK)
        if not answer.ended:
            return Judgement(False, f"the answer has no end; so far:\n{_readable(body)}")
        wrong = [f"{name}: {value}" for name, value in self._expected_headers().items() if answer.header(name) != value]
        if wrong:
            return Judgement(False, f"without {', '.join(wrong)}:\n{_readable(answer.head)}")
        if not self._expects(body):
            return Judgement(False, _readable(body))
        return Judgement(True)

    def _expects(self, body: bytes) -> bool:
        if "EXPECT" in self.sections:
            return body == self._text("EXPECT").replace(b"\r\n", b"\n")
        if "EXPECTF" in self.sections:
            pattern = pattern_of(self._text("EXPECTF").replace(b"\r\n", b"\n"))
        else:
            pattern = self._text("EXPECTREGEX").replace(b"\r\n", b"\n")
        return re.match(b"(?:" + pattern + b")$", body, re.DOTALL) is not None

    def _expected_headers(self) -> dict[str, str]:
        lines = self._text("EXPECTHEADERS").decode("latin-1").splitlines()
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return {name.strip(): value.strip() for name, value in pairs}

    @property
    def _is_of_web(self) -> bool:
        """Whether run-tests.php would ask PHP's CGI; all others it asks the command line, and takes CRLF for LF."""
        sections = ("GET", "POST", "POST_RAW", "GZIP_POST", "DEFLATE_POST", "PUT", "COOKIE", "EXPECTHEADERS")
        return "CGI" in self.sections or any(self._text(name) for name in sections)

    def _text(self, section: str) -> bytes:
        return self.sections.get(section, b"").strip(_BLANK)

    def _asking(self, ending: str, root: str, ini: Mapping[str, str]) -> Request:
        script = f"/{self.base}{ending}"
        return Request(
            {
                "SCRIPT_FILENAME": root + script,
                "SCRIPT_NAME": script,
                "REQUEST_URI": script,
                "DOCUMENT_ROOT": root,
                "REQUEST_METHOD": "GET",
                "QUERY_STRING": "",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "GATEWAY_INTERFACE": "CGI/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "PHP_VALUE": "\n".join(f"{name}={_ini_value(value)}" for name, value in ini.items()),
            }
        )

    def _ini(self, root: str) -> dict[str, str]:
        folder = f"{root}/{self.name}".rpartition("/")[0]
        text = self._text("INI").decode("latin-1").replace("{PWD}", folder).replace("{TMP}", "/tmp")
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
        return INI_OF_ALL_TESTS | {name.strip(): value.strip() for name, value in pairs}

    def _environment(self, root: str) -> dict[str, str]:
        folder = f"{root}/{self.name}".rpartition("/")[0]
        text = self._text("ENV").decode("latin-1").replace("{PWD}", folder)
        pairs = (line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
        found = {name: value for name, value in pairs if name}
        if query := self._text("GET"):
            found.setdefault("QUERY_STRING", query.decode("latin-1"))
            found["REQUEST_URI"] = f"/{self.base}.php?{found['QUERY_STRING']}"
        if cookie := self._text("COOKIE"):
            found["HTTP_COOKIE"] = cookie.decode("latin-1")
        return found

    def _body(self) -> tuple[str, str, bytes]:
        """The request's method, its content's type, and the content."""
        if form := self._text("POST"):
            return "POST", "application/x-www-form-urlencoded", form
        for section, method in (("POST_RAW", "POST"), ("PUT", "PUT")):
            if raw := self._text(section):
                lines = raw.split(b"\n")
                named = next((n for n, line in enumerate(lines) if line.lower().startswith(b"content-type:")), None)
                kind = b"" if named is None else lines.pop(named).partition(b":")[2].strip()
                return method, kind.decode("latin-1"), b"\n".join(lines)
        return "GET", "", b""


def pattern_of(expected: bytes) -> bytes:
    """The regular expression that the text of a section EXPECTF stands for; between %r and %r it is one already."""
    parts = expected.split(b"%r")
    if len(parts) % 2 == 0:
        # One without a partner is a text like any other.
        parts[-2:] = [b"%r".join(parts[-2:])]
    quoted = [b"(" + part + b")" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    # In one go, over the expressions between %r too, as strtr() does.
    return _ANY_PLACEHOLDER.sub(lambda found: _PLACEHOLDERS[found[0]], b"".join(quoted))


def _ini_value(value: str) -> str:
    """As PHP takes `-d name=value`: quoted where it begins with a sign that is none of an ini file's own."""
    return value if not value or value[0].isalnum() or value[0] in "\"'" else f'"{value}"'


def _readable(text: bytes) -> str:
    return text.decode("utf-8", errors="backslashreplace")
