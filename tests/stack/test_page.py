"""The page that ships, in a real browser, against a real cluster."""

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.commands import PROJECT
from tests.stack.chromium import chrome
from tests.stack.cluster import Cluster

SCREENSHOT = PROJECT / ".cluster" / "page.png"


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    with chrome() as opened:
        yield opened


def text(browser: webdriver.Chrome, identifier: str) -> str:
    return browser.find_element(By.ID, identifier).text


def members(browser: webdriver.Chrome) -> dict[str, str]:
    # In one go, since the page makes the list anew every second.
    found: dict[str, str] = browser.execute_script(
        "const items = [...document.querySelectorAll('#members li')];"
        "return Object.fromEntries(items.map(item => [item.dataset.name, item.dataset.state]))"
    )
    return found


def test_a_person_counts_on_it(cluster: Cluster, browser: webdriver.Chrome) -> None:
    def shows(count: int) -> None:
        WebDriverWait(browser, 30).until(lambda _: text(browser, "counter") == str(count))

    browser.get(cluster.outputs()["url"])
    shows(1)
    assert browser.title.startswith("1 ")
    assert text(browser, "balancer") in ("lb1", "lb2")
    assert members(browser) == {"php1": "up", "php2": "up"}
    session, nodes = text(browser, "session"), {text(browser, "node")}
    # With the button, which loads nothing again …
    count = 1
    # … until both nodes have answered: one may get the page's own requests, for the list, in turn with the visitor's.
    while nodes != {"php1", "php2"}:
        count += 1
        assert count < 20, nodes
        browser.find_element(By.ID, "count").click()
        shows(count)
        nodes.add(text(browser, "node"))
        [marked] = browser.find_elements(By.CSS_SELECTOR, "#members li.answered")
        assert marked.get_attribute("data-name") == text(browser, "node")
    # … and by loading the page.
    browser.refresh()
    shows(count + 1)
    assert text(browser, "session") == session
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    browser.save_screenshot(str(SCREENSHOT))


def test_it_fits_a_telephone(cluster: Cluster, browser: webdriver.Chrome) -> None:
    browser.set_window_size(500, 800)
    browser.get(cluster.outputs()["url"])
    inner, content = browser.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]")
    assert content <= inner


def test_the_members_are_those_of_now(cluster: Cluster, browser: webdriver.Chrome) -> None:
    browser.get(cluster.outputs()["url"])
    cluster.lab_command("cut", "php2")
    try:
        WebDriverWait(browser, 60).until(lambda _: members(browser) == {"php1": "up", "php2": "down"})
    finally:
        cluster.lab_command("restore", "php2")
    WebDriverWait(browser, 60).until(lambda _: members(browser) == {"php1": "up", "php2": "up"})
