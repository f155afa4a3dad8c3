"""What a person does with each application, in a real browser."""

from __future__ import annotations

import secrets
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.applications.database import Database

PATIENCE = 60
"""Seconds for a page on a loaded box."""

USER = "mira"


@dataclass
class Person:
    """Somebody at a browser.

    Attributes:
        browser: Its.
        site: The address of the cluster, with a slash at its end.
        folder: Files of hers, for uploads.
        database: Which the site's settings name.
        password: The one that she chooses.
    """

    browser: Chrome
    site: str
    folder: Path
    database: Database
    password: str = field(default_factory=lambda: secrets.token_urlsafe(15))

    def opens(self, path: str) -> None:
        self.browser.get(self.site + path)

    def sees(self, what: str, condition: Callable[[], object]) -> None:
        """Waits until it is so; the page's text is part of the error."""
        waiting = WebDriverWait(self.browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
        try:
            waiting.until(lambda _: condition())
        except Exception as problem:
            shown = self.browser.find_element(By.TAG_NAME, "body").text[:1000]
            raise AssertionError(f"never seen at {self.browser.current_url}: {what}\n{shown}") from problem

    def finds(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def the(self, selector: str) -> WebElement:
        """The first of what a CSS selector finds, once it is there and can be used."""
        self.sees(selector, lambda: any(one.is_enabled() for one in self.finds(selector)))
        return self.finds(selector)[0]

    def fills(self, **fields: str) -> None:
        """Types into the fields of a form, which are named by their ids."""
        for name, text in fields.items():
            one = self.the(f"#{name}")
            one.clear()
            one.send_keys(text)

    def clicks(self, selector: str) -> None:
        """With the mouse's effect and without its place: pages move while they load."""
        self.browser.execute_script("arguments[0].click()", self.the(selector))

    def reads(self, text: str, selector: str = "body") -> None:
        """Waits until a text is there."""
        self.sees(f"{text!r} in {selector}", lambda: any(text in one.text for one in self.finds(selector)))

    def cookies(self, url: str) -> str:
        """The header that the browser sends there."""
        found = self.browser.execute_cdp_cmd("Network.getCookies", {"urls": [url]})["cookies"]
        return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in found)


class Application(ABC):
    """One application.

    Attributes:
        name: Its folder's.
        notes: What was acknowledged to its user, in the order of saving.
        uploads: Paths of files that were, and what each holds.
    """

    name: str

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.uploads: dict[str, bytes] = {}

    @abstractmethod
    def log_in(self, person: Person) -> None:
        """For the first time, after the application's own installer where it has one."""

    @abstractmethod
    def knows(self, person: Person) -> None:
        """Opens a page for those who are logged in, and sees that it is this user's."""

    @abstractmethod
    def write(self, person: Person, note: str) -> None:
        """Saves a text, and sees that it was."""

    def upload(self, person: Person, file: Path) -> str | None:
        """Uploads an image, where the application takes any, and gives the path at which it is seen."""
        return None

    @abstractmethod
    def page_of(self, note: str) -> str:
        """Path of a page that has the note in it."""

    def works(self, person: Person) -> None:
        """The whole of what a user does once she is logged in; nothing is tried twice."""
        self.knows(person)
        note = f"note {secrets.token_hex(4)}"
        self.write(person, note)
        self.notes.append(note)
        file = person.folder / f"{secrets.token_hex(4)}.png"
        file.write_bytes(_image())
        if path := self.upload(person, file):
            self.uploads[path] = file.read_bytes()


def _image() -> bytes:
    """A PNG of 20 by 20 pixels like no other."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 20
    rows = b"".join(b"\0" + secrets.token_bytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class DokuWiki(Application):
    """Keeps all in files; logs in with a session and a cookie."""

    name = "dokuwiki"

    def _install(self, person: Person) -> None:
        person.opens("dokuwiki/install.php")
        secret = {"password": person.password, "confirm": person.password}
        person.fills(title="Wiki", superuser=USER, fullname="Mira", email="mira@example.org", **secret)
        person.clicks("button[name=submit]")
        person.reads("The configuration was finished successfully")

    def log_in(self, person: Person) -> None:
        self._install(person)
        person.opens("dokuwiki/doku.php?id=start&do=login")
        person.the("#dw__login input[name=u]").send_keys(USER)
        person.the("#dw__login input[name=p]").send_keys(person.password)
        person.clicks("#dw__login button[type=submit]")
        person.reads("Logged in as")

    def knows(self, person: Person) -> None:
        person.opens("dokuwiki/doku.php?id=start")
        person.reads("Mira", "#dokuwiki__usertools")

    def write(self, person: Person, note: str) -> None:
        person.opens(f"dokuwiki/{self.page_of(note).removeprefix('dokuwiki/')}&do=edit")
        person.fills(wiki__text=note)
        person.clicks("#edbtn__save")
        person.sees("the page, out of the editor", lambda: not person.finds("#wiki__text"))
        person.reads(note, "#dokuwiki__content")

    def upload(self, person: Person, file: Path) -> str:
        person.opens("dokuwiki/doku.php?id=start&do=media&ns=&tab_files=upload")
        person.the("input[type=file]").send_keys(str(file))
        person.clicks("#mediamanager__upload_button")
        person.sees("the upload's success", lambda: person.finds(".qq-upload-success"))
        return f"dokuwiki/lib/exe/fetch.php?media={file.name}"

    def page_of(self, note: str) -> str:
        return f"dokuwiki/doku.php?id={note.replace(' ', '_')}"


class WordPress(Application):
    """Keeps texts in a database and uploads in files; logs in with a cookie that the database knows."""

    name = "wordpress"

    def _install(self, person: Person) -> None:
        person.opens("wordpress/wp-admin/install.php")
        # The installer proposes a password with JavaScript.
        person.sees("the form's script", lambda: person.the("#pass1").get_attribute("value"))
        person.fills(weblog_title="Blog", user_login=USER, pass1=person.password, admin_email="mira@example.org")
        person.clicks("#submit")
        person.reads("WordPress has been installed")

    def log_in(self, person: Person) -> None:
        self._install(person)
        person.opens("wordpress/wp-login.php")
        person.fills(user_login=USER, user_pass=person.password)
        person.clicks("#wp-submit")
        person.reads("Dashboard", "h1")

    def knows(self, person: Person) -> None:
        person.opens("wordpress/wp-admin/")
        person.reads(USER, "#wp-admin-bar-my-account")

    def write(self, person: Person, note: str) -> None:
        person.opens("wordpress/wp-admin/")
        person.fills(title=note, content=f"About {note}")
        person.clicks("#save-post")
        person.reads(note, ".drafts")

    def upload(self, person: Person, file: Path) -> str:
        person.opens("wordpress/wp-admin/media-new.php?browser-uploader")
        person.the("#async-upload").send_keys(str(file))
        person.clicks("#html-upload")
        person.sees("the library", lambda: "upload.php" in person.browser.current_url)
        person.opens("wordpress/wp-admin/upload.php?mode=list")
        person.reads(file.stem)
        image = next(one for one in person.finds("img") if file.stem in str(one.get_attribute("src")))
        return str(image.get_attribute("src")).removeprefix(person.site)

    def page_of(self, note: str) -> str:
        return "wordpress/wp-admin/edit.php?post_status=draft&post_type=post"


class PhpMyAdmin(Application):
    """Works with a session and a cookie that only this session's key decrypts."""

    name = "phpmyadmin"

    def log_in(self, person: Person) -> None:
        person.opens("phpmyadmin/")
        person.fills(input_username=person.database.user, input_password=person.database.password)
        person.clicks("#input_go")
        person.sees("the way out", lambda: person.finds("a.logout"))
        self._run(person, "CREATE TABLE notes (note VARCHAR(100))")

    def knows(self, person: Person) -> None:
        person.opens("phpmyadmin/index.php?route=/server/databases")
        person.sees("the way out", lambda: person.finds("a.logout"))
        person.reads("visits")

    def write(self, person: Person, note: str) -> None:
        self._run(person, f"INSERT INTO notes VALUES ('{note}')")  # noqa: S608
        person.reads("1 row inserted")

    def page_of(self, note: str) -> str:
        return "phpmyadmin/index.php?route=/sql&db=visits&table=notes&pos=0"

    def _run(self, person: Person, statement: str) -> None:
        person.opens("phpmyadmin/index.php?route=/database/sql&db=visits")
        person.the("#sqlqueryform .CodeMirror")
        person.browser.execute_script(
            "document.querySelector('#sqlqueryform .CodeMirror').CodeMirror.setValue(arguments[0])", statement
        )
        person.clicks("#button_submit_query")
        person.sees("the query's success", lambda: person.finds(".result_query .alert-success"))


class SessionPage(Application):
    """A page of a few lines with a framework's session component: all that it knows is in the session."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def log_in(self, person: Person) -> None:
        person.opens(f"{self.name}/")
        self._sends(person, "user", USER)
        person.reads(USER, "#who")
        # Symfony and Laravel say it once.
        person.reads("Welcome", "#notices")
        person.opens(f"{self.name}/")
        person.sees("no welcome any more", lambda: not person.finds("#notices li"))

    def knows(self, person: Person) -> None:
        person.opens(f"{self.name}/")
        person.reads(USER, "#who")
        assert [one.text for one in person.finds("#notes li")] == self.notes

    def write(self, person: Person, note: str) -> None:
        person.opens(f"{self.name}/")
        self._sends(person, "note", note)
        person.reads(note, "#notes")

    def page_of(self, note: str) -> str:
        return f"{self.name}/"

    def _sends(self, person: Person, field_id: str, text: str) -> None:
        person.fills(**{field_id: text})
        person.clicks("#save")
