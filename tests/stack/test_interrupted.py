"""`make up` that ends in the middle, and is run again."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands import PROJECT, said
from tests.stack.cluster import Cluster, leftovers, wait_for


def state_text(stack: Cluster) -> str:
    return (stack.backend / ".pulumi/stacks/php-cluster" / f"{stack.name}.json").read_text()


@pytest.mark.parametrize(
    ("ending", "moment"),
    [
        # The power of the operator's own computer fails, while machines boot and while the volume is made.
        (signal.SIGKILL, "lb1-host-key"),
        (signal.SIGKILL, "lb1-peer-probe"),
        # Ctrl-C, once.
        (signal.SIGINT, "lb2-install"),
    ],
)
def test_up_goes_on_where_it_was_stopped(fresh_backend: Path, ending: signal.Signals, moment: str) -> None:
    stack = Cluster(fresh_backend, {"phpNodes": "1"})
    try:
        running = subprocess.Popen(
            # A shell that starts something in the background tells it to ignore Ctrl-C; this one is in the foreground.
            ["env", "--default-signal=INT", "scripts/up", stack.name],
            cwd=PROJECT,
            env=stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        wait_for(f"{moment} is reached", lambda: moment in state_text(stack))
        os.killpg(running.pid, ending)
        running.communicate()
        assert running.returncode != 0

        assert "The cluster is up" in said("scripts/up", stack.name, environment=stack.environment)
        visitor = stack.visitor()
        assert [visitor.visit()["counter"] for _ in range(3)] == [1, 2, 3]
        stack.pulumi("preview", "--expect-no-changes", "--stack", stack.name)
    finally:
        stack.remove()
    assert leftovers(stack.lab) == []
