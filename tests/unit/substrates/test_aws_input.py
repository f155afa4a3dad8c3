"""What wrong settings for the cloud, and errors of the cloud, get to hear."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.plan.config_values import ConfigError
from components.steps.last_update import LastUpdate
from components.substrates.aws.advice import advice
from tests.commands import PROJECT
from tests.unit.graph import graph_of
from tests.unit.settings import read_settings, read_with_substrate
from tests.unit.substrates.test_aws import SETTINGS, WITHOUT_ACCOUNT


def refusal(aws_settings: dict[str, Any], **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings({"substrate": "aws", "aws": {"sshCidrs": ["203.0.113.7/32"], **aws_settings}, **values})
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vpcId", "vpc"),
        ("zones", ["eu-central-1a"]),
        ("zones", ["eu-central-1a", "eu-central-1a"]),
        ("zones", "eu-central-1a"),
        ("ami", "debian-12"),
        ("balancerType", "large"),
        ("nodeType", ""),
        ("webCidrs", ["everywhere"]),
        ("webCidrs", ["10.0.0.1/8"]),
        ("sshCidrs", ["0.0.0.0/0"]),
        ("sshCidrs", ["203.0.113.7"]),
        ("egress", "none"),
        ("terminationProtection", "perhaps"),
        ("terminationProtection", 1),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    said = refusal({key: value})
    assert f"php-cluster:aws.{key} is" in said and f"Example: pulumi config set --path 'aws.{key}" in said
    assert "1 config key needs another value" in said


def test_rules_about_several_keys() -> None:
    assert "aws.sshCidrs is not set" in refusal({"sshCidrs": []})
    assert "network is null" in refusal({"vpcId": "vpc-0123456789abcdef0"}).replace('""', "null")
    assert "upgrading is php2" in refusal({}, upgrading="php2")
    assert "the cloud gives the address" in refusal({}, floatingIp="10.64.0.9", network="10.64.0.0/20")
    assert "an Elastic IP is an IPv4 address" in refusal({}, floatingIp6="2001:db8::10")
    assert "a /16 to /24" in refusal({}, network="10.64.0.0/25")
    assert "network 10.64.0.0/22" in refusal({}, network="10.64.0.0/23", phpNodes=64)
    assert "a /16 to" in refusal({}, network="10.0.0.0/8")
    assert "Did you mean sshCidrs?" in refusal({"sshCidr": []})
    assert "is no map of settings" in refusal_of_map()


def refusal_of_map() -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings({"aws": "eu-central-1"})
    return str(caught.value)


def test_a_local_stack_needs_nothing_of_the_cloud() -> None:
    read_settings({"phpNodes": 2})
    program = "import components.substrates.registry, components.cluster, sys; sys.exit('pulumi_aws' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False).returncode == 0
    components = PROJECT / "components"
    users = [path for path in components.rglob("*.py") if "import pulumi_aws" in path.read_text()]
    assert users and {path.parent for path in users} == {components / "substrates" / "aws"}


def planning(aws_settings: dict[str, Any], config: dict[str, str]) -> Callable[[], object]:
    settings, aws = read_with_substrate({"substrate": "aws", "debian": 13, "aws": {**SETTINGS, **aws_settings}})
    pulumi.runtime.set_all_config(config)
    return lambda: graph_of(lambda: aws.plan(settings, LastUpdate()))


@pytest.mark.parametrize(
    ("aws_settings", "config", "words"),
    [
        ({}, {}, 'aws:region is ""'),
        ({}, {**WITHOUT_ACCOUNT, "aws:region": "Frankfurt"}, 'aws:region is "Frankfurt"'),
        ({"zones": ["us-east-1a", "us-east-1b"]}, WITHOUT_ACCOUNT, "in the region eu-central-1"),
        ({"zones": []}, WITHOUT_ACCOUNT, "set where no account may be asked"),
        ({"ami": ""}, WITHOUT_ACCOUNT, "set where no account may be asked"),
    ],
)
def test_what_cannot_be_looked_up_must_be_set(aws_settings: dict[str, Any], config: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        planning(aws_settings, config)()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("api error ExpiredToken: The security token included in the request is expired", "aws sso login"),
        ("No valid credential sources found", "AWS_PROFILE"),
        ("api error AuthFailure: AWS was not able to validate the provided access credentials", "get-caller-identity"),
        ("UnauthorizedOperation: You are not authorized to perform this operation", "docs/aws.md"),
        ("invalid AWS Region: eu-centrall-1", "aws:region eu-central-1"),
        ("api error VcpuLimitExceeded: You have requested more vCPU capacity", "Service Quotas"),
        ("api error VpcLimitExceeded: The maximum number of VPCs has been reached", "Service Quotas"),
        ("api error AddressLimitExceeded: The maximum number of addresses has been reached", "aws.egress balancers"),
        (
            "InsufficientInstanceCapacity: We currently do not have sufficient t3.medium capacity",
            "another instance type",
        ),
        ("InvalidKeyPair.NotFound: The key pair 'x' does not exist", "--refresh"),
        (
            "InvalidSubnet.Conflict: The CIDR '10.0.0.0/24' conflicts with another subnet",
            "pulumi config set network 10.",
        ),
        ("The instance 'i-0' may not be terminated. Modify its 'disableApiTermination'", "terminationProtection"),
        ("after 40 failed attempts: dial tcp 203.0.113.9:22: i/o timeout", "aws.sshCidrs"),
        ("proxy: after 40 failed attempts: dial tcp 203.0.113.9:22: connect: connection refused", "get-console-output"),
    ],
)
def test_errors_of_the_cloud_have_advice(error: str, words: str) -> None:
    assert words in (advice(error) or "")


def test_an_error_of_a_step_gets_no_advice_about_the_cloud() -> None:
    assert advice("php1: php-fpm does not start: unexpected token") is None
