"""What a pull request is told, and the one comment that tells it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.preview_report import COMMENT_LIMIT, REPORT_LIMIT, report, summary
from scripts.pull_request_comment import MARK, comment
from tests.commands import PROJECT

SAID = """\
Previewing update (dev):
+ pulumi:pulumi:Stack: (create)
    [urn=urn:pulumi:dev::php-cluster::pulumi:pulumi:Stack::php-cluster-dev]
    ~ command:remote:Command: (update)
      ~ stdin: "one" => "two"
    +-aws:ec2/instance:Instance: (replace)
    - random:index/randomPassword:RandomPassword: (delete)
      - 9 bottles
Resources:
    + 1 to create
    ~ 1 to update
    - 1 to delete
    +-1 to replace
    4 changes. 98 unchanged
"""


def test_the_summary_is_the_engines_own_count() -> None:
    assert summary(SAID, failed=False) == "1 to create, 1 to update, 1 to delete, 1 to replace"
    assert summary("Resources:\n    102 unchanged\n", failed=False) == "no changes"
    assert summary(SAID, failed=True) == "the preview failed"


def test_signs_stand_where_github_colours_them() -> None:
    lines = report("dev", SAID, failed=False).splitlines()
    assert lines[0] == "### `dev`: 1 to create, 1 to update, 1 to delete, 1 to replace"
    assert "!    ~ command:remote:Command: (update)" in lines
    assert "!    +- aws:ec2/instance:Instance: (replace)" in lines
    assert "-     random:index/randomPassword:RandomPassword: (delete)" in lines
    assert "+ pulumi:pulumi:Stack: (create)" in lines
    assert " Previewing update (dev):" in lines


@pytest.mark.parametrize("text", ["```\n</details>\n@everyone", "`````", "", "no newline"])
def test_nothing_that_is_said_gets_out_of_its_fence(text: str) -> None:
    made = report("dev", text, failed=False)
    fence = made.split("diff\n")[0].rpartition("\n")[2]
    assert set(fence) == {"`"} and fence not in text
    assert made.count(f"\n{fence}") == 2 and made.endswith(f"\n{fence}\n</details>\n")


@pytest.mark.parametrize("failed", [False, True])
def test_a_long_one_is_cut_and_says_so(failed: bool) -> None:
    long = "\n".join(f"line {number} " + "é" * 100 for number in range(2000))
    made = report("dev", long, failed=failed, run="https://github.example/run/1")
    assert REPORT_LIMIT - 400 < len(made) <= REPORT_LIMIT
    assert "lines are left out" in made and "(https://github.example/run/1)" in made
    # What a failure says is at its end.
    assert ("line 1999 " in made) == failed and ("line 0 " in made) != failed
    assert len(report("dev", "x" * 100_000, failed=failed)) <= REPORT_LIMIT


def test_two_full_reports_have_room_in_a_comment_and_a_third_is_left_out() -> None:
    full = [f"{name}\n" + "x" * (REPORT_LIMIT - 3) for name in "abc"]
    assert len(comment(full[:2])) <= COMMENT_LIMIT and "more reports" not in comment(full[:2])
    assert len(comment(full)) <= COMMENT_LIMIT and "1 more reports" in comment(full)


class GitHub(HTTPServer):
    """The part of GitHub's API that is asked for, with what it was told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: list[dict[str, Any]] = []
        self.refuses = False


class Handler(BaseHTTPRequestHandler):
    server: GitHub

    def answer(self, status: int, content: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def body(self) -> str:
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        assert path == "/repos/o/n/issues/7/comments"
        page = int(query.rpartition("page=")[2])
        self.answer(200, self.server.comments[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        text = self.body()
        if self.server.refuses or self.headers["Authorization"] != "Bearer t":
            self.answer(403, {"message": "Resource not accessible by integration"})
            return
        assert self.path == "/repos/o/n/issues/7/comments"
        made = {"id": len(self.server.comments), "body": text, "user": {"type": "Bot"}, "html_url": "https://there/new"}
        self.server.comments.append(made)
        self.answer(201, made)

    def do_PATCH(self) -> None:
        found = self.server.comments[int(self.path.removeprefix("/repos/o/n/issues/comments/"))]
        found["body"] = self.body()
        self.answer(200, found)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def put(github: GitHub, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """`make comment` as the workflow calls it."""
    known = {"GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}", "GITHUB_REPOSITORY": "o/n"}
    return subprocess.run(
        ["make", "comment", f"REPORTS={folder}"],
        cwd=PROJECT,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            **known,
            "PULL_REQUEST": "7",
            "GITHUB_TOKEN": "t",
            **more,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_comment_is_made_once_and_then_written_anew(github: GitHub, tmp_path: Path) -> None:
    person = {"id": 0, "body": f"{MARK} mine", "user": {"type": "User"}, "html_url": ""}
    github.comments = [{**person, "id": number} for number in range(150)]
    (tmp_path / "dev.md").write_text("### one\n")
    done = put(github, tmp_path)
    assert done.returncode == 0 and done.stdout == "https://there/new\n", done.stderr
    (tmp_path / "aws.md").write_text("### two\n")
    assert put(github, tmp_path).returncode == 0
    assert len(github.comments) == 151
    assert github.comments[-1]["body"] == f"{MARK}\n## What this would do\n\n### two\n\n### one\n"
    assert {each["body"] for each in github.comments[:150]} == {f"{MARK} mine"}


def test_a_refusal_says_why(github: GitHub, tmp_path: Path) -> None:
    assert "make preview REPORT=" in put(github, tmp_path).stderr
    (tmp_path / "dev.md").write_text("### one\n")
    github.refuses = True
    done = put(github, tmp_path)
    assert done.returncode != 0 and "403" in done.stderr and "not accessible" in done.stderr
    assert "GITHUB_TOKEN must be set" in put(github, tmp_path, GITHUB_TOKEN="").stderr
