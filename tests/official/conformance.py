"""The conformance tests of tests/plugins with one set of plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.commands import PROJECT
from tests.official.life import PluginSet


def run_tests(plugins: PluginSet, folder: Path, selected: str = "") -> dict[str, Any]:
    """How each test ended, and what it made the engine do.

    Args:
        plugins: What is judged.
        folder: For the tests' files. The same one for both sets, since paths are in what tests print; emptied first.
        selected: Expression that names tests, as pytest's option -k takes it; empty for all.
    """
    record = folder.with_name(f"tests-{plugins.name}.json")
    record.unlink(missing_ok=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/plugins", "-p", "tests.official.recorder", f"--basetemp={folder}"),
            # Another plugin, which exists as a stand-in only.
            "--ignore=tests/plugins/test_aws.py",
            *("-k", selected),
        ],
        cwd=PROJECT,
        env={**os.environ, "OFFICIAL_PLUGINS": str(plugins.folder), "RECORD": str(record)},
        check=False,
    )
    # Without it pytest itself has failed, and has said so.
    recorded: dict[str, Any] = json.loads(record.read_text())
    return recorded
