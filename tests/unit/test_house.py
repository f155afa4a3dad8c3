"""Rules of this code that no linter knows. Who may import whom is import-linter's (pyproject.toml)."""

import ast
import re
import subprocess

from tests.commands import PROJECT

MOST_LINES = 60

NAMED = re.compile(r"(?<![\w./-])(?:components|scripts|tests|docs|findings)/[\w./-]*\w")


def test_functions_are_short() -> None:
    """With their signatures and docstrings."""
    found = {
        f"{path.relative_to(PROJECT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in (PROJECT / "components").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert found
    assert {name: lines for name, lines in found.items() if lines > MOST_LINES} == {}


def test_paths_that_the_code_names_are_there() -> None:
    """In comments, docstrings and messages; a decision goes by its number alone."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "components", "scripts", "__main__.py"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [file for file in listed if file and not file.startswith("scripts/toolchain/go/")]
    named = {(file, path) for file in files for path in NAMED.findall((PROJECT / file).read_text())}
    assert len(named) > 100
    assert [(file, path) for file, path in sorted(named) if not list(PROJECT.glob(f"{path}*"))] == []


QUIET_GREP = re.compile(r"(?<!\|)\|(?!\|)\s*(?:\\\n\s*)?grep [^|\n]*--quiet")


def test_nothing_is_piped_into_a_grep_that_ends_at_its_first_match() -> None:
    """What still writes then dies of it, and with `pipefail` the match counts as none, now and then."""
    texts = {
        path: path.read_text()
        for path in (PROJECT / "scripts").rglob("*")
        if path.is_file() and path.suffix in ("", ".sh") and "toolchain/go" not in str(path)
    }
    # A program of its own may do without pipefail; what has no first line is read by others, steps above all.
    bound = {path: text for path, text in texts.items() if "pipefail" in text or not text.startswith("#!")}
    assert len(bound) > 50
    found = {str(path.relative_to(PROJECT)): QUIET_GREP.findall(text) for path, text in bound.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}
