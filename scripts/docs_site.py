"""What mkdocs.yml cannot say: pages that lie beside docs/ are a part of the site, and links to code are words there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).parent.parent

BESIDE = {
    "README.md": "about.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "findings/README.md": "findings/README.md",
}
"""File of the project to its place in the site."""

_LINK = re.compile(r"(?P<words>\[(?:`[^`]*`|[^\]`])*\])\((?P<target>[^():\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages beside docs/."""
    for name, place in BESIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(PROJECT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links from where a page is in the project to where it is in the site."""
    there = {place: name for name, place in BESIDE.items()}
    source = there.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["target"]))
        place = BESIDE.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(place) is None:
            # The code is not on the site.
            return link["words"][1:-1] if (PROJECT / target).exists() else link[0]
        relative = posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")
        return f"{link['words']}({relative}{link['anchor'] or ''})"

    return _LINK.sub(turned, markdown)
