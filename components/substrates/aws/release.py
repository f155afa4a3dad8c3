"""The release of Debian that a stack's machines run, which a tag of each tells."""

from __future__ import annotations

from components.plan.config_values import NAMESPACE, ConfigError
from components.plan.debian import DEFAULT, RELEASES, Release
from components.steps.last_update import LastUpdate

DEBIAN_TAG = "php-cluster:debian"

WITHOUT_TAG = RELEASES[12]
"""What the machines run that were made when there was no choice: they have no tag, and are left as they are."""


def release_tag(release: Release) -> dict[str, str]:
    """The tag of a machine with this release, if it has one."""
    return {} if release == WITHOUT_TAG else {DEBIAN_TAG: str(release.number)}


def release_of(wanted: Release | None, last: LastUpdate, *, own_image: bool) -> Release:
    """What the machines run that are there, or what new ones are to run.

    Bricks without machines may be those of a first update that stopped. That no machine was ever reached tells it.

    Args:
        wanted: The key `debian`.
        last: What the last update left.
        own_image: Whether the machines' image is chosen by `aws.ami`: nobody else knows its release.

    Raises:
        ConfigError: they run another one than is wanted, or nothing tells which one.
    """
    machines = last.machines_with("machine")
    if not machines:
        if wanted is None and (own_image or last.machines_with("install")):
            why = "aws.ami is an image of your own" if own_image else "bricks are left whose machines are gone"
            raise ConfigError(
                f"{NAMESPACE}:debian is not set, and {why}: say which release of Debian its machines run.\n"
                f"    Example: pulumi config set debian {DEFAULT}"
            )
        return wanted or RELEASES[DEFAULT]
    running = RELEASES[int(last.tags(f"{machines[0]}-machine").get(DEBIAN_TAG, WITHOUT_TAG.number))]
    if wanted not in (None, running):
        raise ConfigError(
            f"{NAMESPACE}:debian is {wanted.number}, and the machines run Debian {running.number}; nothing was "
            f"changed.\n    Machines in the cloud stay at the release that they were made with.\n"
            f"    Example: pulumi config set debian {running.number}"
        )
    return running
