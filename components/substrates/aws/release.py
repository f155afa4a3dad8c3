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


def release_of(wanted: Release | None, last: LastUpdate) -> Release:
    """What the machines run that are there, or what new ones are to run.

    Raises:
        ConfigError: they run another one than is wanted.
    """
    machines = last.machines_with("machine")
    if not machines:
        return wanted or RELEASES[DEFAULT]
    running = RELEASES[int(last.tags(f"{machines[0]}-machine").get(DEBIAN_TAG, WITHOUT_TAG.number))]
    if wanted not in (None, running):
        raise ConfigError(
            f"{NAMESPACE}:debian is {wanted.number}, and the machines run Debian {running.number}; nothing was "
            f"changed.\n    Machines in the cloud stay at the release that they were made with.\n"
            f"    Example: pulumi config set debian {running.number}"
        )
    return running
