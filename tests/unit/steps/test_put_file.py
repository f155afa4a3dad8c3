"""How host scripts write files: all of a file or nothing, and never in silence."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.commands import PROJECT

HOSTS = PROJECT / "scripts" / "hosts"
LONG = "x" * 5000


def step(folder: Path, body: str, **variables: str) -> subprocess.CompletedProcess[str]:
    text = (HOSTS / "steps" / "lib.sh").read_text()
    for place in ("/run/php-cluster", "/var/lib/php-cluster"):
        text = text.replace(place, f"{folder}/state{place}")
    text = text.replace("root:root", f"{folder.owner()}:{folder.group()}")
    text += f'file={folder}/etc/a-file\n{body}\nreport "well"\n'
    environment = {"STEP": "s", "PATH": os.environ["PATH"], "LONG": LONG, **variables}
    return subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def test_it_says_what_it_writes_and_never_fails_for_being_needless(tmp_path: Path) -> None:
    body = 'put_file "$file" 0640 "$LONG"; echo "status $?"'
    assert step(tmp_path, body).stdout.splitlines() == [f"writes {tmp_path}/etc/a-file", "status 0", "well"]
    assert step(tmp_path, body).stdout.splitlines() == ["status 0", "well (nothing to change)"]
    assert (tmp_path / "etc/a-file").read_text() == LONG
    assert (tmp_path / "etc/a-file").stat().st_mode & 0o777 == 0o640
    # Other content, another mode, a link in its place: each is a difference, and a look changes nothing.
    for spoil in ("echo >$0", "chmod 644 $0", "mv $0 $0.old; ln -s $0.old $0"):
        subprocess.run(["sh", "-c", spoil, tmp_path / "etc/a-file"], check=True)
        assert step(tmp_path, body, CHECK="yes").returncode == 3
        assert "writes " in step(tmp_path, body).stdout
        assert "(nothing to change)" in step(tmp_path, body).stdout


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        # As on a full disk: 1,024 of the 5,000 bytes can be written.
        ("trap '' XFSZ; ulimit -f 1", "File too large"),
        ("mktemp() { echo 'No space left on device' >&2; return 1; }", "No space left on device"),
        (
            "mkdir() { [[ $2 != */etc ]] || { echo 'Read-only file system' >&2; return 1; }; command mkdir \"$@\"; }",
            "Read-only file system",
        ),
        ("chown() { echo 'invalid user' >&2; return 1; }", "invalid user"),
        ("mv() { echo 'Input/output error' >&2; return 1; }", "Input/output error"),
    ],
)
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path, fault: str, reason: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a-file").write_text("before")
    done = step(tmp_path, f'{fault}\nput_file "$file" 0644 "$LONG"\necho "went on"')
    assert done.returncode == 1 and "went on" not in done.stdout
    assert f"cannot write {tmp_path}/etc/a-file: " in done.stderr and reason in done.stderr
    assert (tmp_path / "etc/a-file").read_text() == "before"
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["a-file"]


def calls(script: Path) -> str:
    """The first and the last line of each call of put_file."""
    lines, inside = [], False
    for line in script.read_text().splitlines():
        begins = "put_file " in line
        quotes = line.count('"') - line.count('\\"')
        if begins or (inside and quotes % 2):
            lines.append(line)
        inside ^= quotes % 2 == 1 and (begins or inside)
    return "\n".join(lines)


def test_no_script_takes_its_failure_for_an_answer() -> None:
    scripts = [path for path in HOSTS.rglob("*.sh") if "put_file" in path.read_text()]
    assert len(scripts) > 10
    for path in scripts:
        assert not re.search(r"(if|until|while|!|&&) +put_file|\" (\|\||&&) ?.*$", calls(path), re.MULTILINE), path.name
