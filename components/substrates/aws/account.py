"""What an account has, looked up before anything is made: zones, instance types, the image, an existing VPC.

A provider that is told not to check credentials has no account to ask, which makes a preview possible for everybody;
then what would have been looked up must be set.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.debian import Release
from components.substrates.aws import zones
from components.substrates.aws.advice import advice
from components.substrates.aws.names import STACK_TAG
from components.substrates.aws.settings import KEY, AwsSettings

DEBIAN = "136693071363"
"""The account that publishes Debian's official images (wiki.debian.org, Cloud/AmazonEC2Image/Bookworm)."""

_NOT_FOUND = r"no matching EC2|Invalid\w+ID\.NotFound"
"""How the provider says that a VPC or a gateway is not there."""

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}


def look_up(wanted: AwsSettings, network: str | None, php_nodes: int, debian: Release) -> zones.Region:
    """Looks up what the settings leave open, and checks what they name.

    Raises:
        ConfigError: with all that does not fit, and what to do about it.
    """
    problems: list[str] = []
    region = pulumi.Config("aws").get("region") or ""
    if not _REGION.fullmatch(region):
        raise ConfigError(
            f'aws:region is "{region}"\n    It must be the name of a region.\n'
            "    Example: pulumi config set aws:region eu-central-1"
        )
    found = _Account(region, problems) if _may_be_asked() else _NoAccount(region, problems)
    result = zones.Region(
        region,
        found.zones(wanted.zones),
        found.images(wanted.ami, {wanted.balancer_type, wanted.node_type}, debian),
        found.gateway(wanted.vpc_id, network, php_nodes),
        debian,
    )
    if problems:
        raise ConfigError("The settings do not fit the account; nothing was changed.\n\n" + "\n\n".join(problems))
    return result


def _may_be_asked() -> bool:
    return not pulumi.Config("aws").get_bool("skipCredentialsValidation")


def _problem(key: str, shown: str, rule: str, example: str) -> str:
    return (
        f"{NAMESPACE}:{KEY}.{key} is {shown}\n    It must be {rule}.\n"
        f"    Example: pulumi config set --path {KEY}.{example}"
    )


class _NoAccount:
    """For a preview: nothing is asked, and what is not set is refused."""

    def __init__(self, region: str, problems: list[str]) -> None:
        self.region = region
        self.problems = problems

    def zones(self, wanted: Sequence[str]) -> tuple[str, ...]:
        strangers = [zone for zone in wanted if not zone.startswith(self.region)]
        if strangers:
            self.problems.append(
                _problem("zones", ", ".join(strangers), f"in the region {self.region}", f"zones[0] {self.region}a")
            )
        elif not wanted:
            self.problems.append(
                _problem("zones", "not set", "set where no account may be asked", f"zones[0] {self.region}a")
            )
        return tuple(wanted)

    def images(self, wanted: str | None, types: set[str], debian: Release) -> dict[str, str]:
        if not wanted:
            self.problems.append(
                _problem("ami", "not set", "set where no account may be asked", "ami ami-0123456789abcdef0")
            )
        return dict.fromkeys(types, wanted or "")

    def gateway(self, vpc_id: str | None, network: str | None, php_nodes: int) -> str | None:
        return None if vpc_id is None else "igw-that-the-vpc-has"


class _Account(_NoAccount):
    """For an account that may be asked."""

    def zones(self, wanted: Sequence[str]) -> tuple[str, ...]:
        there = sorted(
            self._ask(
                lambda: (
                    aws.get_availability_zones(
                        state="available",
                        # Local and wavelength zones have neither every instance type nor NAT gateways.
                        filters=[
                            aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])
                        ],
                    ).names
                )
            )
        )
        missing = [zone for zone in wanted if zone not in there]
        if missing:
            self.problems.append(
                _problem("zones", ", ".join(missing), f"among {', '.join(there)}", f"zones[0] {there[0]}")
            )
            return tuple(there[:2])
        if len(wanted or there) < 2:
            self.problems.append(f"aws:region is {self.region}, which has fewer than two zones for this account")
        return tuple(wanted or there[:3])

    def images(self, wanted: str | None, types: set[str], debian: Release) -> dict[str, str]:
        return {kind: image for kind in sorted(types) if (image := self._image(wanted, kind, debian))}

    def _image(self, wanted: str | None, kind: str, debian: Release) -> str | None:
        known = self._ask(
            lambda: aws.ec2.get_instance_type(instance_type=kind), absent="InvalidInstanceType|no EC2 Instance Type"
        )
        if known is None:
            self.problems.append(
                f"{NAMESPACE}:{KEY} asks for the instance type {kind}, which {self.region} does not have\n"
                f"    Example: pulumi config set --path {KEY}.nodeType t3.medium"
            )
            return None
        architectures = known.supported_architectures
        if wanted is None:
            architecture = next(one for one in architectures if one in _DEBIAN_ARCHITECTURES)
            return self._newest_image(debian, _DEBIAN_ARCHITECTURES[architecture])
        image = self._look_up_image([("image-id", wanted)], owners=None)
        if image is None:
            self.problems.append(
                _problem("ami", wanted, f"an image in {self.region}", "ami '', which takes Debian's newest")
            )
        elif image.architecture not in architectures:
            self.problems.append(
                f"{NAMESPACE}:{KEY}.ami is {wanted}, an image for {image.architecture}; the instance type {kind} needs "
                f"one for {' or '.join(architectures)}\n    Example: pulumi config set --path {KEY}.ami ''"
            )
        return wanted

    @functools.cache  # noqa: B019 - lives as long as the program, which is one look at the account
    def _newest_image(self, debian: Release, architecture: str) -> str | None:
        image = self._look_up_image([("name", f"debian-{debian.number}-{architecture}-*")], owners=[DEBIAN])
        if image is None:
            self.problems.append(
                f"Debian publishes no image of release {debian.number} for {architecture} in {self.region}"
            )
        return image.id if image else None

    def _look_up_image(self, filters: Sequence[tuple[str, str]], owners: list[str] | None) -> Any:
        return self._ask(
            lambda: aws.ec2.get_ami(
                owners=owners,
                most_recent=True,
                include_deprecated=owners is None,
                filters=[aws.ec2.GetAmiFilterArgs(name=name, values=[value]) for name, value in filters],
            ),
            absent="returned no results",
        )

    def gateway(self, vpc_id: str | None, network: str | None, php_nodes: int) -> str | None:
        if vpc_id is None or network is None:
            return None
        vpc = self._ask(lambda: aws.ec2.get_vpc(id=vpc_id), absent=_NOT_FOUND)
        if vpc is None:
            self.problems.append(
                _problem("vpcId", vpc_id, f"a VPC in {self.region}", "vpcId '', which makes one for the stack")
            )
            return None
        part = ipaddress.IPv4Network(network)
        blocks = [ipaddress.IPv4Network(one.cidr_block) for one in vpc.cidr_block_associations]
        taken = self._subnets_of_others(vpc_id)
        rule = ""
        if not any(part.subnet_of(block) for block in blocks):
            rule = f"\n    It must be a part of {vpc_id}: of {' or '.join(map(str, blocks))}."
        elif overlapped := [f"{other}, the subnet {name}" for name, other in taken.items() if part.overlaps(other)]:
            rule = (
                f", which overlaps {', and '.join(overlapped)} of {vpc_id}"
                "\n    It must be a part of the VPC that nothing else uses."
            )
        if rule:
            needed = zones.required_network(php_nodes)
            free = zones.free_part(blocks, list(taken.values()), min(part.prefixlen, needed)) or zones.free_part(
                blocks, list(taken.values()), needed
            )
            example = (
                f"Example: pulumi config set network {free}"
                if free
                else f"It has no /{needed} left, which {php_nodes} PHP nodes need: give the VPC one more network."
            )
            self.problems.append(f"{NAMESPACE}:network is {network}{rule}\n    {example}")
        gateway = self._ask(
            lambda: aws.ec2.get_internet_gateway(
                filters=[aws.ec2.GetInternetGatewayFilterArgs(name="attachment.vpc-id", values=[vpc_id])]
            ),
            absent=_NOT_FOUND,
        )
        if gateway is None:
            self.problems.append(
                f"{NAMESPACE}:{KEY}.vpcId is {vpc_id}, which has no internet gateway: visitors could not come in\n"
                f"    Example: aws ec2 --region {self.region} attach-internet-gateway --vpc-id {vpc_id} "
                f"--internet-gateway-id $(aws ec2 --region {self.region} create-internet-gateway "
                "--query InternetGateway.InternetGatewayId --output text)"
            )
            return None
        return str(gateway.internet_gateway_id)

    def _subnets_of_others(self, vpc_id: str) -> dict[str, ipaddress.IPv4Network]:
        """The subnets of a VPC that are not this stack's own, by id."""
        found = self._ask(
            lambda: aws.ec2.get_subnets(filters=[aws.ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id])])
        )
        subnets = [self._ask(functools.partial(aws.ec2.get_subnet, id=each)) for each in found.ids]
        return {
            subnet.id: ipaddress.IPv4Network(subnet.cidr_block)
            for subnet in subnets
            if (subnet.tags or {}).get(STACK_TAG) != pulumi.get_stack()
        }

    @staticmethod
    def _ask(question: Callable[[], Any], absent: str = "") -> Any:
        """The answer; None when the error says, in the words of the pattern `absent`, that there is no such thing."""
        try:
            return question()
        except Exception as problem:  # whatever the engine says of a failed look-up
            if absent and re.search(absent, str(problem)):
                return None
            raise _refused(problem) from None


def _refused(problem: Exception) -> ConfigError:
    said = re.sub(r"\s+", " ", str(problem)).strip()
    words = advice(said) or "docs/aws.md lists what the program asks the cloud for."
    return ConfigError(f"The account cannot be asked; nothing was changed.\n\n{said}\n\n{words}")
