"""What to do when the cloud says no. Errors are AWS's own; what helps against them is this program's to say.

The codes are those of the EC2 API reference, "Error codes for the Amazon EC2 API", and of the provider's own checks.
"""

from __future__ import annotations

import re

import pulumi

_GO_ON = "What has been made stays in the stack: run `pulumi up` again afterwards, and it goes on from there."

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"ExpiredToken|RequestExpired|token .*expired|refresh cached (SSO )?(token|credentials)",
        "The credentials have expired. Log in again (`aws sso login`), or set fresh AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.",
    ),
    (
        r"[Nn]o valid credential sources|get credentials|NoCredential",
        "There are no AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; docs/aws.md "
        "says what a preview without an account needs instead.",
    ),
    (
        r"InvalidClientTokenId|AuthFailure|SignatureDoesNotMatch",
        "AWS does not know these credentials. Look at AWS_PROFILE and the AWS_… variables: "
        "`aws sts get-caller-identity` shows whose they are.",
    ),
    (
        r"UnauthorizedOperation|AccessDenied",
        "These credentials may not do this. docs/aws.md lists what the program asks the cloud for.",
    ),
    (
        r"[Ii]nvalid AWS [Rr]egion|InvalidRegion|OptInRequired|endpoint .*no such host|EndpointConnectionError",
        "There is no such region for this account: `pulumi config set aws:region eu-central-1`.",
    ),
    (
        r"AddressLimitExceeded",
        "The quota of Elastic IPs is used up: a cluster has four of them, and three after `pulumi config set --path "
        "aws.egress balancers`. Ask for more under Service Quotas, EC2-VPC Elastic IPs.",
    ),
    (
        r"LimitExceeded|MaxSpotInstanceCountExceeded",
        "A quota of the account is used up. Ask for more under Service Quotas, or make do with less: `pulumi config "
        "set --path aws.nodeType t3.small`, `pulumi config set phpNodes 1`.",
    ),
    (
        r"InsufficientInstanceCapacity|InsufficientAddressCapacity",
        "The zone has no such machine left at the moment. Wait, or choose another instance type: `pulumi config set "
        "--path aws.nodeType t3a.medium`.",
    ),
    (
        r"Unsupported: .*Availability Zone|InvalidParameterValue.*instance type",
        "This instance type is not to be had there. Choose another one, `pulumi config set --path aws.nodeType "
        "t3.medium`, or before anything is made other zones, `pulumi config set --path 'aws.zones[0]' eu-central-1a`.",
    ),
    (
        r"InvalidKeyPair\.NotFound",
        "The login key was deleted in the account. `pulumi up --refresh` makes it again.",
    ),
    (
        r"InvalidAMIID|InvalidParameterValue.*architecture",
        "The image does not suit. Leave `php-cluster:aws.ami` empty to take Debian's newest, or name one of the same "
        "architecture as the instance types.",
    ),
    (
        r"InvalidSubnet\.(Conflict|Range)|InvalidVpc\.Range",
        "The subnets do not fit. Choose a part of the VPC that nothing else uses: `pulumi config set network "
        "10.64.16.0/20`.",
    ),
    (
        r"disableApiTermination|may not be terminated",
        "The machines are protected, and no update can both lift that and remove or replace one. Undo the change, "
        "`pulumi config set --path php-cluster:aws.terminationProtection false`, `pulumi up`, and then make it again.",
    ),
    (
        r"[Dd]ial.*(time-?out|timed out|refused|unreachable|no route)|after \d+ failed attempts",
        "The machine does not answer SSH. Is this computer's public address in `php-cluster:aws.sshCidrs`? What it "
        "said while it booted: `aws ec2 get-console-output --latest --instance-id …`. To have it made again: "
        "`pulumi up --replace` with the URN of its instance.",
    ),
)


def advice(error: str) -> str | None:
    """What helps against an error, if that is known."""
    for pattern, words in _ADVICE:
        if re.search(pattern, error, re.DOTALL):
            return words
    return None


def _advise(failed: pulumi.ErrorHookArgs) -> bool:
    for error in failed.errors[:1]:
        if words := advice(error):
            pulumi.log.error(f"{failed.name}: {words}\n{_GO_ON}")
    return False  # nothing is tried again


def give_advice() -> None:
    """Has every resource of the stack that fails followed by what to do."""
    hook = pulumi.ErrorHook("advice", _advise)

    def with_hook(seen: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
        hooks = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(on_error=[hook]))
        return pulumi.ResourceTransformationResult(seen.props, pulumi.ResourceOptions.merge(seen.opts, hooks))

    pulumi.runtime.register_stack_transformation(with_hook)
