"""The one place that makes remote commands.

A step is a script of `scripts/hosts/` and its variables. Both travel over standard input, so that no secret is in a
command line, a log or the text of an error (pulumi-command repeats the whole command there). The script's own text is
an input: editing it runs the step again, and so is the reason when something was seen to have changed on the machine
(components/drift.py). What the step observes on the machine decides what it changes.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import pulumi
import pulumi_command as command

from components.machine import Machine

HOST_SCRIPTS = Path(__file__).parent.parent / "scripts" / "hosts"

DIAL_ERROR_LIMIT = 5
"""Attempts to connect. A wrong host key is retried like a refused connection: a large limit delays the bad news."""

FIRST_DIAL_ERROR_LIMIT = 40
"""Attempts of the first step on a machine, which may still be booting."""

DIAL_TIMEOUT_SECONDS = 10

STEPS_FOLDER = "/var/lib/php-cluster/steps"
"""Where a machine keeps the text of the steps that ran on it, secrets included: for root alone."""

_END_OF_STEP = "END-OF-STEP-64QF2Z"
"""A line that is in no script, template or value."""

_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOST_SCRIPTS / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )


def render(template: str, **values: object) -> str:
    """Renders a file of `scripts/hosts/templates/`; a missing value raises `jinja2.UndefinedError`."""
    return _templates().get_template(template).render(**values)


def script_text(step: str, script: str, variables: Mapping[str, str]) -> str:
    """The whole text that `bash -s` reads: variables, common functions, the script.

    The machine keeps what ran on it, to be looked at and run again there: under a name of its own while it runs, so
    that a second run cannot change the text under the first, and under the step's name when it has ended well.

    Raises:
        ValueError: a variable's name is not made of capital letters, digits and underscores, or a value holds the line
            that ends the text.
    """
    for name, value in variables.items():
        if not _VARIABLE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a variable of a host script")
        if _END_OF_STEP in value:
            raise ValueError(f"the value of {name} must not contain {_END_OF_STEP}")
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in {"STEP": step, **variables}.items())
    library = (HOST_SCRIPTS / "lib.sh").read_text()
    body = (HOST_SCRIPTS / script).read_text()
    return f"""set -eu
mkdir --parents --mode=700 {STEPS_FOLDER}
text=$(mktemp {STEPS_FOLDER}/.{step}.XXXXXX)
trap 'rm -f "$text"' EXIT
cat >"$text" <<'{_END_OF_STEP}'
{assignments}{library}{body}{_END_OF_STEP}
bash "$text" </dev/null
mv "$text" {STEPS_FOLDER}/{step}
"""


def as_root(machine: Machine, shell_command: str) -> str:
    """The command as the machine's connection has to spell it to run as root."""
    return shell_command if machine.user == "root" else f"sudo --non-interactive {shell_command}"


def _connection(machine: Machine, *, dial_error_limit: int) -> command.remote.ConnectionArgs:
    known = machine.connection
    return command.remote.ConnectionArgs(
        host=known.host,
        port=known.port,
        user=known.user,
        private_key=known.private_key,
        host_key=known.host_key,
        proxy=known.proxy,
        dial_error_limit=dial_error_limit,
        per_dial_timeout=DIAL_TIMEOUT_SECONDS,
    )


def _options(
    machine: Machine, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource]
) -> pulumi.ResourceOptions:
    # deleted_with: what was on a machine goes with it; a dead one must not hold up a destroy.
    return pulumi.ResourceOptions(
        parent=parent, depends_on=[machine.resource, *depends_on], deleted_with=machine.resource
    )


def remote_step(
    name: str,
    machine: Machine,
    script: str,
    *,
    parent: pulumi.Resource,
    variables: Mapping[str, pulumi.Input[str]] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    limit_seconds: int = 300,
    first: bool = False,
    quiet: bool = False,
) -> command.remote.Command:
    """Runs a script of `scripts/hosts/` on a machine, as root.

    Runs again when the script, a variable or the machine changes, and when what it left behind was seen to be gone.

    Args:
        name: Name of the resource: the step of the article it stands for, with the machine's name.
        machine: Where it runs.
        script: File name in `scripts/hosts/`.
        parent: The component it belongs to.
        variables: Shell variables of the script. A secret among them makes the whole input secret.
        depends_on: What must be done before.
        limit_seconds: After this time the script is ended and the step has failed.
        first: It is the machine's first step, which waits for the machine to answer.
        quiet: Its output is data rather than news, and is not logged.
    """
    known = {**(variables or {}), "REASON": machine.drift.reason(name, machine.name)}
    stdin = pulumi.Output.all(**known).apply(lambda variables: script_text(name, script, variables))
    return command.remote.Command(
        name,
        connection=_connection(machine, dial_error_limit=FIRST_DIAL_ERROR_LIMIT if first else DIAL_ERROR_LIMIT),
        create=as_root(machine, f"timeout --kill-after=10 {limit_seconds} bash -s"),
        stdin=stdin,
        triggers=[machine.identity],
        logging=command.remote.Logging.NONE if quiet else command.remote.Logging.STDOUT_AND_STDERR,
        add_previous_output_in_env=False,
        opts=_options(machine, parent, depends_on),
    )


def remote_copy(
    name: str,
    machine: Machine,
    source: pulumi.Asset | pulumi.Archive,
    remote_path: str,
    *,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
    needed_by: str,
) -> command.remote.CopyToRemote:
    """Copies a file or folder to a machine, again when it or the machine changes, and when the step `needed_by`, which
    uses it up, has to run again. `remote_path` must be writable by the connection's user."""
    reason = machine.drift.supply_reason(name, needed_by)
    return command.remote.CopyToRemote(
        name,
        connection=_connection(machine, dial_error_limit=DIAL_ERROR_LIMIT),
        source=source,
        remote_path=remote_path,
        triggers=[machine.identity, *([reason] if reason else [])],
        opts=_options(machine, parent, depends_on),
    )
