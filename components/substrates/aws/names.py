"""Names and tags by stack, so that clusters of one account are told apart."""

from __future__ import annotations

import pulumi

PROJECT_TAG, STACK_TAG, ROLE_TAG = "php-cluster:project", "php-cluster:stack", "php-cluster:role"


def name(part: str) -> str:
    """What a part of this stack's cluster is called in the account."""
    return f"php-cluster-{pulumi.get_stack()}-{part}"


def prefix(part: str, length: int) -> str:
    """The beginning of a name that must differ between regions or checkouts; the cloud's provider adds the rest."""
    return f"{name(part)[: length - 1]}-"


def tags(part: str, role: str = "network") -> dict[str, str]:
    """The tags of a part of the cluster."""
    return {"Name": name(part), PROJECT_TAG: "php-cluster", STACK_TAG: pulumi.get_stack(), ROLE_TAG: role}
