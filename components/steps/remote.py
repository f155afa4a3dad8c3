"""The one place that makes remote commands.

A step is a script of `scripts/hosts/` and its variables. The scripts are on the machine before (host_scripts.py); the
step names them by their content, so that editing one runs the steps again that use it. The variables travel over
standard input, so that no secret is in a command line, a log or the text of an error (pulumi-command repeats the whole
command there). The reason is one of them when something was seen to have changed on the machine (drift.py). What the
step observes on the machine decides what it changes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import jinja2
import pulumi
import pulumi_command as command

from components.steps.drift import SCRIPTS, SCRIPTS_FOLDER
from components.steps.host_scripts import HASH_CHARACTERS, HOST_SCRIPTS, archive, libraries, stored_name
from components.steps.last_update import assignments
from components.steps.machine import Machine

DIAL_ERROR_LIMIT = 5
"""Attempts to connect. A wrong host key is retried like a refused connection: a large limit delays the bad news."""

FIRST_DIAL_ERROR_LIMIT = 40
"""Attempts of the first connection to a machine, which may still be booting."""

DIAL_TIMEOUT_SECONDS = 10

STEPS_FOLDER = "/var/lib/php-cluster/steps"
"""Where a machine keeps the text of the steps that ran on it, secrets included: for root alone."""

ARRIVAL = "/var/tmp/php-cluster-scripts-"  # noqa: S108 - for the connection's user to write; see steps/run.sh
"""How the names of their archives begin, until a step has unpacked them."""

_END_OF_STEP = "END-OF-STEP-64QF2Z"
"""A line that is in no script, template or value."""

_RUN = re.sub(r"^ *#.*\n", "", (HOST_SCRIPTS / "steps" / "run.sh").read_text(), flags=re.MULTILINE)
"""Without its comments: the engine writes the text down twice for each step (docs/decisions/13)."""

_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOST_SCRIPTS),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )


def render(template: str, **values: object) -> str:
    """Renders a template of `scripts/hosts/`, as `php/php.ini.j2`; a missing value raises `jinja2.UndefinedError`."""
    return _templates().get_template(template).render(**values)


def script_text(step: str, script: str, variables: Mapping[str, str], files: Mapping[str, str] | None = None) -> str:
    """The whole text that `bash -s` reads: `steps/run.sh`, and the step that it runs: a script with its variables.

    Args:
        step: Its name.
        script: File in `scripts/hosts/`.
        variables: The script's variables.
        files: More of them, whose values are files in `scripts/hosts/`.

    Raises:
        ValueError: a variable's name is not made of capital letters, digits and underscores, or a value holds the line
            that ends the text.
    """
    files = files or {}
    for name in (*variables, *files):
        if not _VARIABLE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a variable of a host script")
        if _END_OF_STEP in variables.get(name, ""):
            raise ValueError(f"the value of {name} must not contain {_END_OF_STEP}")
    sourced = [stored_name(each) for each in (*libraries(script), script)]
    contents = {name: stored_name(file) for name, file in files.items()}
    runner = {
        "STEP": step,
        "FILES": " ".join([*sourced, *contents.values()]),
        "SCRIPTS": SCRIPTS_FOLDER,
        "STEPS": STEPS_FOLDER,
        "ARRIVALS": ARRIVAL,
        "HASH_CHARACTERS": str(HASH_CHARACTERS),
    }
    *read_before, body = (f'. "$scripts/{file}"\n' for file in sourced)
    taken = (f'take {name} "$scripts/{file}"\n' for name, file in contents.items())
    return f"""{assignments(runner)}{_RUN}cat >"$text" <<'{_END_OF_STEP}'
set -eu
scripts={SCRIPTS_FOLDER}
{assignments({"STEP": step, **variables})}{"".join([*read_before, *taken, body])}{_END_OF_STEP}
run_text
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
        parent=parent, depends_on=[machine.scripts or machine.resource, *depends_on], deleted_with=machine.resource
    )


def remote_step(
    name: str,
    machine: Machine,
    script: str,
    *,
    parent: pulumi.Resource,
    variables: Mapping[str, pulumi.Input[str]] | None = None,
    files: Mapping[str, str] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    limit_seconds: int = 300,
    quiet: bool = False,
    again_with: str = "",
) -> command.remote.Command:
    """Runs a script of `scripts/hosts/` on a machine, as root.

    Runs again when the script, a variable or the machine changes, and when what it left behind was seen to be gone.

    Args:
        name: Name of the resource: the step of the article it stands for, with the machine's name.
        machine: Where it runs.
        script: File name in `scripts/hosts/`.
        parent: The component it belongs to.
        variables: Shell variables of the script. A secret among them makes the whole input secret.
        files: Variables whose values are files of `scripts/hosts/`.
        depends_on: What must be done before.
        limit_seconds: After this time the script is ended and the step has failed.
        quiet: Its output is data rather than news, and is not logged.
        again_with: A step, asked for before: this one runs again, too, when something was seen that makes that one.
    """
    known = {**(variables or {}), "REASON": machine.drift.reason(name, machine.name, again_with)}
    stdin = pulumi.Output.all(**known).apply(lambda variables: script_text(name, script, variables, files))
    return command.remote.Command(
        name,
        connection=_connection(machine, dial_error_limit=DIAL_ERROR_LIMIT),
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
    dial_error_limit: int = DIAL_ERROR_LIMIT,
) -> command.remote.CopyToRemote:
    """Copies a file or folder to a machine, again when it or the machine changes, and when the step `needed_by`, which
    uses it up, has to run again. `remote_path` must be writable by the connection's user."""
    reason = machine.drift.supply_reason(name, needed_by)
    return command.remote.CopyToRemote(
        name,
        connection=_connection(machine, dial_error_limit=dial_error_limit),
        source=source,
        remote_path=remote_path,
        triggers=[machine.identity, *([reason] if reason else [])],
        opts=_options(machine, parent, depends_on),
    )


def with_scripts(machine: Machine, parent: pulumi.Resource) -> Machine:
    """Brings the host scripts to a machine, before any step. Waits for the machine to answer."""
    packed = archive()
    copied = remote_copy(
        f"{machine.name}{SCRIPTS}",
        machine,
        pulumi.FileAsset(str(packed)),
        f"{ARRIVAL}{packed.name}",
        parent=parent,
        needed_by=f"{machine.name}{SCRIPTS}",
        dial_error_limit=FIRST_DIAL_ERROR_LIMIT,
    )
    return replace(machine, scripts=copied)
