"""A real browser, without a screen."""

from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver


@contextmanager
def chrome() -> Iterator[webdriver.Chrome]:
    """Debian's Chromium with a profile of its own; what its console says can be asked for."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--no-proxy-server", "--window-size=900,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Debian's own driver: none is looked for on the network.
    opened = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        yield opened
    finally:
        opened.quit()
