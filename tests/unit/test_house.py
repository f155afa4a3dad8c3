"""Rules of this code that no linter knows. Who may import whom is import-linter's (pyproject.toml)."""

import ast

from tests.commands import PROJECT

MOST_LINES = 60


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
