"""The settings of the application: where it lies, what it may write to, its environment and its commands.

A preset sets some of these keys as an application of its kind needs them; what is set explicitly counts before that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from components.plan.config_values import NAMESPACE, Reader, integer, list_of, matching, one_of, optional, text
from components.plan.cron_schedule import calendar_expression

INDEX_FILES = ("index.php", "index.html")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "bedrock": {
        "webRoot": "web",
        "sharedDirs": ["web/app/uploads"],
    },
    "cakephp": {
        "webRoot": "webroot",
        "writableDirs": ["logs", "tmp"],
    },
    "codeigniter": {
        "webRoot": "public",
        "writableDirs": ["writable"],
    },
    "drupal": {
        "webRoot": "web",
        "sharedDirs": ["web/sites/default/files"],
    },
    "laravel": {
        "webRoot": "public",
        "writableDirs": ["bootstrap/cache", "storage/framework", "storage/logs"],
        "sharedDirs": ["storage/app"],
        "nodeCommands": ["php artisan config:cache", "php artisan view:cache"],
    },
    "symfony": {
        "webRoot": "public",
        "writableDirs": ["var/cache", "var/log"],
        "nodeCommands": ["php bin/console cache:clear"],
    },
    "wordpress": {
        "sharedDirs": ["wp-content/uploads"],
    },
    "yii": {
        "webRoot": "web",
        "writableDirs": ["runtime", "web/assets"],
    },
}
"""Kind of application to the keys that it sets; the folders are those of Deployer's recipes, `recipe/*.php`. A key that
this program does not declare is left out."""

_T = TypeVar("_T")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What systemd takes in no value."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_VARIABLES: Mapping[str, str] = {
    "FPM": "the web server's PHP uses it",
    "GATEWAY_INTERFACE": "the request sets it",
    "HOME": "the user's own",
    "HTTPS": "the request sets it",
    "LOGNAME": "the user's own",
    "PATH_INFO": "the request sets it",
    "PHPRC": "PHP would read other settings; use phpSettings",
    "PHP_ADMIN_VALUE": "PHP would read other settings; use phpSettings",
    "PHP_INI_SCAN_DIR": "PHP would read other settings; use phpSettings",
    "PHP_VALUE": "PHP would read other settings; use phpSettings",
    "QUERY_STRING": "the request sets it",
    "SHELL": "the user's own",
    "USER": "the user's own",
}
_RESERVED_PREFIXES: Mapping[str, str] = {
    **dict.fromkeys(
        ("CONTENT_", "DOCUMENT_", "FCGI_", "HTTP_", "REDIRECT_", "REMOTE_", "REQUEST_", "SCRIPT_", "SERVER_"),
        "the request sets names that begin so",
    ),
    **dict.fromkeys(("INVOCATION_", "JOURNAL_", "LISTEN_", "NOTIFY_", "WATCHDOG_"), "systemd sets names that begin so"),
    "LD_": "it would change every program's libraries",
}
MOST_BYTES = 100_000
"""Of a variable with its name: Linux takes 131,072 in one (MAX_ARG_STRLEN)."""

MOST_ENVIRONMENT_BYTES = 1_000_000
"""Of all together: half of what Linux takes by default for a program's arguments and environment."""

_JOB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
MOST_INSTANCES = 64


@dataclass(frozen=True)
class CronEntry:
    """A command that one of the nodes runs at certain times.

    Attributes:
        name: Of its systemd units.
        calendar: The times, as systemd's OnCalendar has them.
        command: A line for the shell.
    """

    name: str
    calendar: str
    command: str


@dataclass(frozen=True)
class Worker:
    """A command that runs all the time on every node.

    Attributes:
        name: Of its systemd units.
        command: A line for the shell.
        count: How many of them run on each node.
        stop_seconds: How long one may go on with its work after SIGTERM.
    """

    name: str
    command: str
    count: int
    stop_seconds: int


@dataclass(frozen=True)
class ApplicationSettings:
    """Checked settings of the application; docs/applications.md describes each.

    Attributes:
        web_root: Folder below the project that is served; empty for the project itself.
        writable_dirs: Folders below the project that PHP may write to.
        environment: Variables, secrets among them.
        release_commands: Run once, on one node, before any node switches.
        node_commands: Run on every node before any node switches.
        command_seconds: How long one of those may take.
        cron: What one of the nodes runs at certain times.
        workers: What every node runs all the time.
        from_preset: The keys that the preset has set, with their values.
    """

    web_root: str
    writable_dirs: tuple[str, ...]
    environment: Mapping[str, str]
    release_commands: tuple[str, ...]
    node_commands: tuple[str, ...]
    command_seconds: int
    cron: tuple[CronEntry, ...]
    workers: tuple[Worker, ...]
    from_preset: Mapping[str, Any]


def read_application(reader: Reader, defaults: Mapping[str, Any], app_dir: Path) -> ApplicationSettings:
    """Reads the application's keys; what a preset sets takes the place of their defaults.

    Args:
        reader: Has all values, and gets the problems.
        defaults: Each declared key with its default: a key that has it counts as not set.
        app_dir: The project's folder.
    """
    from_preset = _take_preset(reader, defaults)
    web_root = reader.read(
        "webRoot",
        _web_root,
        "the path of a folder below appDir, without a slash at its ends, or . for appDir itself",
        "webRoot public",
        "",
    )
    if not any(os.access(app_dir / web_root / index, os.R_OK) for index in INDEX_FILES):
        reader.refuse(
            "webRoot" if reader.values["webRoot"] else "appDir",
            f"a readable folder with an {' or '.join(INDEX_FILES)} in it"
            + (f", below {app_dir}" if reader.values["webRoot"] else "; if that lies further below, set webRoot"),
            "webRoot public" if reader.values["webRoot"] else "appDir app",
        )
    writable: tuple[str, ...] = reader.read(
        "writableDirs",
        _folders,
        "a list of paths of folders below appDir, none of them twice or in another one",
        "--path 'writableDirs[0]' var/cache",
        (),
    )
    for folder in writable:
        if contains(folder, web_root or "."):
            reader.refuse(
                "writableDirs",
                f"a list of folders that do not hold the web root, but {folder} does: PHP could write pages of its own",
                "--path 'writableDirs[0]' var/cache",
            )
    commands = "a list of commands, each a line of text"
    return ApplicationSettings(
        web_root=web_root,
        writable_dirs=writable,
        environment=_environment(reader),
        release_commands=reader.read(
            "releaseCommands", list_of(_command), commands, "--path 'releaseCommands[0]' 'php migrate.php'", ()
        ),
        node_commands=reader.read(
            "nodeCommands", list_of(_command), commands, "--path 'nodeCommands[0]' 'php warm-up.php'", ()
        ),
        command_seconds=reader.read(
            "commandSeconds", integer(1, 3600), "a whole number from 1 to 3600", "commandSeconds 300", 300
        ),
        cron=_jobs(reader, "cron", CRON_KEYS, _cron_entry, "--path 'cron[0].schedule' '*/5 * * * *'"),
        workers=_jobs(reader, "workers", WORKER_KEYS, _worker, "--path 'workers[0].command' 'php worker.php'"),
        from_preset=from_preset,
    )


def _take_preset(reader: Reader, defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Sets what the preset says, where nothing else is set, and returns it."""
    preset = reader.read(
        "preset",
        optional(one_of(PRESETS)),
        f"one of {', '.join(sorted(PRESETS))}, or absent",
        "preset symfony",
        None,
    )
    from_preset = {
        key: value
        for key, value in PRESETS.get(preset or "", {}).items()
        if key in defaults and reader.values[key] == defaults[key]
    }
    reader.values = {**reader.values, **from_preset}
    return from_preset


def preset_news(settings: ApplicationSettings) -> str:
    """What the preset has set, for whoever looks at a preview; empty if nothing."""
    if not settings.from_preset:
        return ""
    return "the preset sets " + ", ".join(
        f"{key} to {' and '.join(value) if isinstance(value, list) else value}"
        for key, value in settings.from_preset.items()
    )


def contains(folder: str, other: str) -> bool:
    """Whether a folder, as a path below the project, is the other one or holds it."""
    return PurePosixPath(other).is_relative_to(PurePosixPath(folder))


def folder_below(value: str) -> str:
    """The path of a folder below the project, in its only spelling.

    Raises:
        ValueError: it leads elsewhere, is the project itself, or has a character that has no place in a path.
    """
    if not value.isprintable() or value.startswith("/") or value != str(PurePosixPath(value)) or value == ".":
        raise ValueError
    if ".." in PurePosixPath(value).parts or any(character in value for character in "\\:\"'"):
        raise ValueError
    return value


def _web_root(value: Any) -> str:
    return "" if value in ("", ".") else folder_below(text(value))


def _folders(value: Any) -> tuple[str, ...]:
    folders = list_of(folder_below)(value)
    for index, folder in enumerate(folders):
        if any(contains(other, folder) for place, other in enumerate(folders) if place != index):
            raise ValueError
    return folders


def _command(value: str) -> str:
    """A line for the shell; it stands in units and in arguments."""
    if not value.strip() or not value.isprintable() or len(value.encode()) > 8000:
        raise ValueError
    return value


def _environment(reader: Reader) -> Mapping[str, str]:
    given = reader.values["appEnvironment"]
    example = "--secret --path appEnvironment.DB_PASSWORD"
    if not isinstance(given, Mapping):
        reader.refuse("appEnvironment", "a map of variables to their values", example)
        return {}
    result: dict[str, str] = {}
    for name, value in given.items():
        if problem := _variable_problem(name, value):
            # Shown is the name alone: any of the values may be a secret.
            reader.refuse("appEnvironment", f"a map in which each variable can be set, but {problem}", example)
        else:
            result[name] = str(value).lower() if isinstance(value, bool) else str(value)
    if sum(len(f"{name}={value}".encode()) for name, value in result.items()) > MOST_ENVIRONMENT_BYTES:
        reader.refuse("appEnvironment", f"at most {MOST_ENVIRONMENT_BYTES:,} bytes long, all in all", example)
    return result


def _variable_problem(name: str, value: Any) -> str:
    """Why this cannot be a variable; empty if it can."""
    if not _VARIABLE.fullmatch(name):
        return f"{name!r} is no name for one: letters, digits and _, not a digit first"
    why = _RESERVED_VARIABLES.get(name) or next(
        (why for prefix, why in _RESERVED_PREFIXES.items() if name.startswith(prefix)), ""
    )
    if why:
        return f"{name} is reserved: {why}"
    if not isinstance(value, (str, int)):
        return f"{name} is no text" + ("; put its number in quotes" if isinstance(value, float) else "")
    return _value_problem(name, str(value))


def _value_problem(name: str, value: str) -> str:
    if len(f"{name}={value}".encode(errors="replace")) > MOST_BYTES:
        return f"{name} is longer than {MOST_BYTES:,} bytes; put it into a file"
    if _CONTROL.search(value):
        return f"{name} has a control character other than tab and newline in it; encode it, with base64 for instance"
    return "" if value.isascii() or _is_unicode(value) else f"{name} is no valid UTF-8"


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


CRON_KEYS: Mapping[str, Any] = {"name": None, "schedule": None, "command": None}
WORKER_KEYS: Mapping[str, Any] = {"name": None, "command": None, "count": 1, "stopSeconds": 60}
"""Keys of an entry with their defaults; None has to be given."""


def _jobs(
    reader: Reader, key: str, known: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], _T], example: str
) -> tuple[_T, ...]:
    entries = reader.values[key]
    if not isinstance(entries, list):
        reader.refuse(key, f"a list of maps with {', '.join(known)}", example)
        return ()
    found: list[_T] = []
    names: set[str] = set()
    for index, entry in enumerate(entries):
        problem = _entry_problem(entry, known)
        if not problem:
            try:
                found.append(parse({**known, **entry}))
                if entry["name"] in names:
                    problem = f"the name {entry['name']} is another one's, too"
                names.add(entry["name"])
            except (ValueError, TypeError) as error:
                problem = str(error) or "a value has the wrong type"
        if problem:
            shown = f"{NAMESPACE}:{key}[{index}]"
            reader.problems.append(f"{shown} cannot work: {problem}\n    Example: pulumi config set {example}")
    return tuple(found)


def _entry_problem(entry: Any, known: Mapping[str, Any]) -> str:
    if not isinstance(entry, Mapping):
        return f"it must be a map with {', '.join(known)}"
    unknown = sorted(set(entry) - set(known))
    lacking = [name for name, default in known.items() if default is None and name not in entry]
    if unknown:
        return f"{unknown[0]} is none of its keys, which are {', '.join(known)}"
    return f"{lacking[0]} is not set" if lacking else ""


def _said(name: str, rule: str, parse: Callable[[Any], _T], value: Any) -> _T:
    """The parsed value; the error says the rule."""
    try:
        return parse(value)
    except (ValueError, TypeError):
        raise ValueError(f"{name} must be {rule}") from None


def _name_and_command(entry: Mapping[str, Any]) -> tuple[str, str]:
    name = _said(
        "name",
        "at most 32 letters a to z, digits and hyphens, none at its ends",
        lambda value: matching(_JOB_NAME)(text(value)),
        entry["name"],
    )
    return name, _said("command", "a line of text", lambda value: _command(text(value)), entry["command"])


def _cron_entry(entry: Mapping[str, Any]) -> CronEntry:
    name, command = _name_and_command(entry)
    return CronEntry(name, calendar_expression(text(entry["schedule"])), command)


def _worker(entry: Mapping[str, Any]) -> Worker:
    name, command = _name_and_command(entry)
    count = _said("count", f"a whole number from 1 to {MOST_INSTANCES}", integer(1, MOST_INSTANCES), entry["count"])
    stop = _said("stopSeconds", "a whole number from 1 to 3600", integer(1, 3600), entry["stopSeconds"])
    return Worker(name, command, count, stop)
