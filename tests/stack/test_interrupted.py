"""`make up` that ends in the middle, and is run again."""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.commands import said
from tests.stack.cluster import Cluster, nothing_is_left, wait_for

# A step of each kind in the order in which they come, and how the run ends there: Ctrl-C, or a loss of power.
MOMENTS = [
    ("lb1-host-key", signal.SIGKILL),
    ("network", signal.SIGINT),
    ("lb1-machine", signal.SIGKILL),
    ("php1-scripts", signal.SIGKILL),
    ("lb2-install", signal.SIGINT),
    ("php1-site-staged", signal.SIGKILL),
    ("lb2-brick", signal.SIGKILL),
    ("php1-arbiter", signal.SIGKILL),
    ("volume-create", signal.SIGKILL),
    ("lb2-brick-restore", signal.SIGINT),
    ("volume-options", signal.SIGKILL),
    ("volume-start", signal.SIGKILL),
    ("php1-mount", signal.SIGKILL),
    ("php1-php", signal.SIGKILL),
    ("php1-site", signal.SIGINT),
    ("lb1-haproxy", signal.SIGKILL),
    ("lb2-keepalived", signal.SIGKILL),
    ("floating-ip", signal.SIGKILL),
]


def steps(stack: Cluster) -> tuple[set[str], set[str]]:
    """The names of the resources that are there, and of those that are being made or changed now."""
    text = (stack.backend / ".pulumi/stacks/php-cluster" / f"{stack.name}.json").read_text()
    known = json.loads(text)["checkpoint"]["latest"] or {}
    done = [one["urn"] for one in known.get("resources", [])]
    under_way = [one["resource"]["urn"] for one in known.get("pending_operations", [])]
    return {urn.rpartition("::")[2] for urn in done}, {urn.rpartition("::")[2] for urn in under_way}


def has_begun(stack: Cluster, step: str) -> bool:
    """Whether the step runs, or is done already: some last for a moment only."""
    return step in set.union(*steps(stack))


def interrupt(stack: Cluster, step: str, ending: signal.Signals) -> set[str]:
    """Runs `make up`'s command until a step has begun, and ends it there; all steps that this interrupted."""
    running = subprocess.Popen(
        # A shell that starts something in the background tells it to ignore Ctrl-C; this one is in the foreground.
        ["env", "--default-signal=INT", "scripts/up", stack.name],
        cwd=stack.checkout,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(f"{step} has begun", lambda: running.poll() is not None or has_begun(stack, step), 300)
    finally:
        os.killpg(running.pid, ending)
        output, _ = running.communicate()
    assert running.returncode != 0, f"it was over before {step} had begun:\n{output}"
    return {step} | steps(stack)[1]


def test_up_goes_on_wherever_it_was_stopped(fresh_backend: Path) -> None:
    stack = Cluster(fresh_backend, {"phpNodes": "1"})
    try:
        interrupted: set[str] = set()
        for step, ending in MOMENTS:
            # It may be done already, or have been ended too, beside the one at which the last run ended.
            if not has_begun(stack, step):
                interrupted |= interrupt(stack, step, ending)
        assert len(interrupted & {step for step, _ in MOMENTS}) >= 12, interrupted
        assert "The cluster is up" in said("scripts/up", stack.name, environment=stack.environment)
        visitor = stack.visitor()
        assert [visitor.visit()["counter"] for _ in range(3)] == [1, 2, 3]
        stack.pulumi("preview", "--expect-no-changes", "--stack", stack.name)

        # In a change of what is there, too.
        stack.configure({"phpWorkers": "5"})
        running = subprocess.Popen(
            ["scripts/up", stack.name], cwd=stack.checkout, env=stack.environment, start_new_session=True
        )
        wait_for("php1 is being changed", lambda: "php1-php" in steps(stack)[1] or running.poll() is not None)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        said("scripts/up", stack.name, environment=stack.environment)
        assert "pm.max_children = 5" in stack.ssh("php1", "cat /etc/php-cluster/fpm.conf")
        assert visitor.visit()["counter"] == 4
        stack.pulumi("preview", "--expect-no-changes", "--stack", stack.name)
    finally:
        stack.remove()
    nothing_is_left(stack.lab)
