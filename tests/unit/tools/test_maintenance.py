"""scripts/maintenance: which pages it takes, and what it has balancers do."""

import subprocess
from pathlib import Path

import pytest

from components.plan.php_settings import HEADER_KIB
from scripts.machines import RefusalError
from scripts.site_maintenance import MOST_PAGE_BYTES, host_script, read_page
from tests.commands import PROJECT


def test_a_page_of_the_site_is_taken(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>Zurück um zehn</p>\n")
    assert read_page(tmp_path / "page.html") == "<p>Zurück um zehn</p>"
    # Ours is none that would be refused.
    assert read_page(PROJECT / "scripts/hosts/balancer/maintenance.html")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"x" * (MOST_PAGE_BYTES + 1), "has 30001 bytes, and HAProxy serves up to 30000"),
        (b" \n", "is empty"),
        (b"a\0b", "no text"),
        (b"\xff", "can't decode"),
        (None, "No such file"),
    ],
)
def test_a_page_that_cannot_be_served_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "page").write_bytes(content)
    with pytest.raises(RefusalError, match=why):
        read_page(tmp_path / "page")


def test_a_page_fits_into_the_buffer_with_its_headers() -> None:
    assert MOST_PAGE_BYTES < HEADER_KIB * 1024 - 1024


def test_a_page_arrives_as_it_is() -> None:
    page = "<p title='$(reboot)'>`a` \"b\" $HOME \\ %[src]</p>\n<p>"
    text = host_script(60, page).partition("set -euo")[0] + 'printf "%s|%s" "$RETRY_AFTER" "$PAGE"'
    done = subprocess.run(["bash", "-s"], input=text, capture_output=True, text=True, check=True)
    assert done.stdout == f"60|{page}"
