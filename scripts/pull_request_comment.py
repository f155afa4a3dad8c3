"""Puts reports of previews on a pull request, as one comment that is written anew each time.

`python -m scripts.pull_request_comment FOLDER`: the folder has the reports (*.md). Environment: GITHUB_REPOSITORY
(`owner/name`), PULL_REQUEST (its number), GITHUB_TOKEN (may write comments), GITHUB_API_URL where it is another one.
Nothing but Python is needed, and nothing of what the reports say is run or believed.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.preview_report import COMMENT_LIMIT

MARK = "<!-- php-cluster: preview -->"
"""Not shown. By it the comment of the last run is found."""

PER_PAGE = 100
TIME_LIMIT_SECONDS = 30


def comment(reports: Sequence[str], limit: int = COMMENT_LIMIT) -> str:
    """One comment; reports that have no room any more are left out, which it says."""
    text = f"{MARK}\n## What this would do\n"
    note = "\n{} more reports are in the run's artifacts."
    for number, report in enumerate(reports):
        if len(text) + len(report) + 1 > limit - len(note) - 10:
            return text + note.format(len(reports) - number)
        text += f"\n{report}"
    return text


class GitHub:
    """The part of GitHub's API about the comments on one pull request (REST API, Issue comments)."""

    def __init__(self, api: str, token: str, repository: str, number: int) -> None:
        self._issues = f"{api}/repos/{repository}/issues"
        self._number = number
        self._token = token

    def put(self, text: str) -> str:
        """Writes the comment, over the one of an earlier run if there is one; gives its address."""
        known = self._earlier()
        if known is None:
            made = self._ask("POST", f"{self._issues}/{self._number}/comments", {"body": text})
        else:
            made = self._ask("PATCH", f"{self._issues}/comments/{known}", {"body": text})
        return str(made["html_url"])

    def _earlier(self) -> int | None:
        page = 1
        while found := self._ask("GET", f"{self._issues}/{self._number}/comments?per_page={PER_PAGE}&page={page}"):
            for each in found:
                # A person who quotes the mark keeps what he wrote.
                if each["body"].startswith(MARK) and each["user"]["type"] == "Bot":
                    return int(each["id"])
            page += 1
        return None

    def _ask(self, method: str, url: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is GitHub's own, given by whoever runs this
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with urllib.request.urlopen(request, timeout=TIME_LIMIT_SECONDS) as answer:  # noqa: S310 - as above
            return json.load(answer)


def main(folder: Path) -> None:
    """Comments with the reports in a folder."""
    known = os.environ
    missing = [name for name in ("GITHUB_REPOSITORY", "PULL_REQUEST", "GITHUB_TOKEN") if not known.get(name)]
    if missing:
        sys.exit(f"{', '.join(missing)} must be set: repository, number of the pull request, token that may comment")
    reports = [file.read_text() for file in sorted(folder.glob("*.md"))]
    if not reports:
        sys.exit(f"there is no report (*.md) in {folder}: make preview REPORT={folder}/STACK.md writes one")
    api = known.get("GITHUB_API_URL") or "https://api.github.com"
    github = GitHub(api, known["GITHUB_TOKEN"], known["GITHUB_REPOSITORY"], int(known["PULL_REQUEST"]))
    try:
        print(github.put(comment(reports)))
    except urllib.error.HTTPError as refusal:
        sys.exit(f"GitHub refused: {refusal.code} {refusal.read().decode(errors='replace')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
