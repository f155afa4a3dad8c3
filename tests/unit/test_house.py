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
