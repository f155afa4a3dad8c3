"""What a test environment refuses before it sets anything up; tests/stack and tests/plugins build some."""

import os
import subprocess

import pytest

from tests.commands import PROJECT


def refused(**settings: str) -> str:
    usual = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CI", "SSH_"))
    }
    done = subprocess.run(
        ["make", "environment"], cwd=PROJECT, env={**usual, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert not (PROJECT / f"Pulumi.environment-{settings['SUBSTRATE']}.yaml").exists()
    return done.stderr


@pytest.mark.parametrize("backend", [{}, {"PULUMI_BACKEND_URL": ""}, {"PULUMI_BACKEND_URL": "file:///srv/state"}])
def test_ci_must_not_forget_machines_that_cost_money(backend: dict[str, str]) -> None:
    said = refused(SUBSTRATE="aws", CI="true", AWS_REGION="eu-central-1", SSH_CIDR="203.0.113.7/32", **backend)
    assert "PULUMI_BACKEND_URL" in said and "docs/ci.md" in said


def test_what_is_missing_or_unknown_is_named() -> None:
    assert "AWS_REGION is not set" in refused(SUBSTRATE="aws", SSH_CIDR="203.0.113.7/32")
    assert "local, aws" in refused(SUBSTRATE="moon")
