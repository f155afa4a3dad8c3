"""Links lead somewhere, and every page is in the index."""

import re

import pytest
import yaml

from tests.commands import PROJECT
from tests.unit.docs.pages import PAGES, Page, page, table

DOCS = PROJECT / "docs"


@pytest.mark.parametrize("where", PAGES, ids=str)
def test_links_lead_somewhere(where: Page) -> None:
    broken = []
    for link in where.links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (where.path.parent / name).resolve() if name else where.path
        if not target.exists() or (anchor and anchor not in Page(target).anchors):
            broken.append(link)
    assert broken == []


def test_the_index_has_every_page() -> None:
    linked = {(DOCS / link).resolve() for link in page("docs/README.md").links}
    linked |= {(DOCS / "decisions" / link).resolve() for link in page("docs/decisions/README.md").links}
    assert {each.path for each in PAGES} - linked == {DOCS / "README.md"}


def test_the_site_has_every_page() -> None:
    navigation = yaml.safe_dump(
        yaml.safe_load((PROJECT / "mkdocs.yml").read_text().replace("!!python/name:", ""))["nav"]
    )
    missing = [name for path in DOCS.rglob("*.md") if (name := str(path.relative_to(DOCS))) not in navigation]
    assert missing == []


def test_decisions_have_a_status_and_a_date() -> None:
    """Those of the index."""
    rows = table(page("docs/decisions/README.md").text, "")
    found = []
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title, status = path.read_text().split("\n\n")[:2]
        said = re.match(r"Status: (accepted|proposed|rejected|superseded), (\d+ [A-Z][a-z]+ \d{4})", status)
        assert said, f"{path.name}: {status}"
        # Superseded in part, and by which.
        by = re.search(r"(?:was s|S)uperseded by (\[\d+\]\([^)]+\))", status, re.IGNORECASE)
        word = said[1] + (f", in part superseded by {by[1]}" if by else "")
        found.append([str(int(path.name[:2])), f"[{title.removeprefix('# ')}]({path.name})", word, said[2]])
    assert found == rows
