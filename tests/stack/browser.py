"""A visitor who may send anything, follows no redirect, and keeps cookies."""

from __future__ import annotations

import gzip
import http.client
import http.cookies
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.php import fastcgi

SESSION = "PHPSESSID"


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the headers in their order, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of all headers of that name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        packed = self.all("Content-Encoding") == ["gzip"]
        return (gzip.decompress(self.body) if packed else self.body).decode(errors="backslashreplace")

    @property
    def cookies(self) -> dict[str, str]:
        """Those that it sets; one that it takes away is empty."""
        parsed: dict[str, str] = {}
        for line in self.all("Set-Cookie"):
            for name, morsel in http.cookies.SimpleCookie(line).items():
                parsed[name] = "" if morsel.value == "deleted" or morsel["max-age"] == "0" else morsel.value
        return parsed


class Server(Protocol):
    """Whatever answers."""

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes, limit: float) -> Reply:
        """Puts one request, and waits `limit` seconds at most for each part of its answer."""


@dataclass(frozen=True)
class Site:
    """The web server at an address."""

    address: str

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes, limit: float) -> Reply:
        connection = http.client.HTTPConnection(self.address, timeout=limit)
        try:
            connection.request(method, path, body or None, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, tuple(response.getheaders()), response.read())
        finally:
            connection.close()


class AnswersFastCgi(Protocol):
    """A PHP with a copy of the site in the folder `root`."""

    @property
    def root(self) -> str: ...

    def ask(self, request: fastcgi.Request, limit: float) -> fastcgi.Answer: ...


@dataclass(frozen=True)
class PlainPhp:
    """A PHP that is asked without a web server before it, with these settings."""

    pool: AnswersFastCgi
    ini: Mapping[str, str]

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes, limit: float) -> Reply:
        script, _, query = path.partition("?")
        parameters = {
            "SCRIPT_FILENAME": self.pool.root + script,
            "SCRIPT_NAME": script,
            "REQUEST_URI": path,
            "DOCUMENT_ROOT": self.pool.root,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "PHP_VALUE": "\n".join(f"{name}={value}" for name, value in self.ini.items()),
        }
        told = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        kind = told.pop("HTTP_CONTENT_TYPE", "")
        said = self.pool.ask(fastcgi.Request({**parameters, **told}).with_body(method, kind, body), limit)
        if not said.ended:
            raise http.client.IncompleteRead(said.body)
        lines = (line.partition(":") for line in said.head.decode("latin-1").splitlines())
        headers_said = tuple((name.strip(), value.strip()) for name, _, value in lines)
        return Reply(said.status, headers_said, said.body)


@dataclass
class Browser:
    """One visitor.

    Attributes:
        server: Whom he asks.
        cookies: By name.
        sessions: The ids that he was given, in their order.
    """

    server: Server
    cookies: dict[str, str] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limit: float = 90,
    ) -> Reply:
        """Puts one request, keeps the cookies that come back."""
        sent = dict(headers or {})
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.server.ask(method, "/" + urllib.parse.quote(path, safe="/?&=:,-"), sent, body, limit)
        for name, value in reply.cookies.items():
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        if session := reply.cookies.get(SESSION):
            self.sessions.append(session)
        return reply
