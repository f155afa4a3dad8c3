"""What is left of failed tests at the end of a log, told by pytest itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.failed_tests import MOST_CHARACTERS, failures, text_of

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise AssertionError("begin " + "long\\n" * 2000 + "the end")

@pytest.mark.parametrize("number", range(3))
def test_shares_a_fixture(broken, number): ...

def test_compares():
    assert {"one": 1} == {"one": 2}, "said\\nso"

@pytest.mark.parametrize("number", range({different}))
def test_differs(number):
    assert number == "x" * 1000
"""


@pytest.fixture
def report(tmp_path: Path) -> str:
    return _reported(tmp_path, 1)


def _reported(folder: Path, different: int) -> str:
    (folder / "tests").mkdir()
    (folder / "tests/test_it.py").write_text(TESTS.replace("{different}", str(different)))
    options = ["-p", "no:hypothesispytest", "--override-ini=junit_family=xunit1", "--junitxml=report.xml", "tests"]
    subprocess.run([sys.executable, "-m", "pytest", *options], cwd=folder, capture_output=True, check=False)
    return text_of(failures([folder / "report.xml"]))


def test_name_place_and_assertion(report: str) -> None:
    shown = (
        "FAILED tests/test_it.py::test_compares\ntests/test_it.py:12\nAssertionError: said\n  so\nassert {'one': 1} =="
    )
    assert shown in report


def test_what_a_fixture_says_comes_once_with_its_beginning_and_end(report: str) -> None:
    assert "FAILED tests/test_it.py::test_shares_a_fixture[0] and 2 more\n" in report
    assert report.count("begin") == report.count("the end") == 1


def test_a_hundred_failures_still_fit(tmp_path: Path) -> None:
    report = _reported(tmp_path, 100)
    assert len(report) <= MOST_CHARACTERS
    assert report.count("test_differs[") == 100
