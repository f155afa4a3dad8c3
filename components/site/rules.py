"""What a site's own files ask of a web server: `.user.ini` of PHP, `.htaccess` of Apache."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.plan.path_patterns import is_pattern
from components.site.package import site_files

USER_INI, HTACCESS = ".user.ini", ".htaccess"

_POST_MAX_SIZE = re.compile(
    r"""^\s*post_max_size\s*=\s*["']?([0-9]+[kmg]?)["']?\s*(?:;.*)?$""", re.IGNORECASE | re.MULTILINE
)

_ACCESS = " (access)"
_DIRECTIVE = re.compile(r"^\s*(<?)([A-Za-z_]+)\s*(.*?)>?\s*$")
_INDEX_FILES = frozenset({"index.php", "index.html"})
# Conditions belong to what follows them; the rest is Apache's own business, or done by nginx anyway.
_HARMLESS = frozenset(
    (
        *("rewriteengine", "rewritecond", "rewritebase", "addoutputfilterbytype", "setoutputfilter", "browsermatch"),
        *("addhandler", "sethandler", "fileetag", "adddefaultcharset", "addcharset", "addtype"),
    )
)
# What is no file goes to index.php; `-` leaves the path as it is.
_FRONT_CONTROLLER = re.compile(r"\S+\s+/?(index\.php(/\S*|\?\S*)?|-)(\s+\[.*\])?")
_FORBIDS = re.compile(r"\[([^]]*,)?\s*F\s*(,[^]]*)?\]")
# Sections that hold for some requests only; a test for a module of Apache says how to write the same in its versions.
_SECTION = re.compile(r"^\s*</?(?!IfModule\b)\w", re.IGNORECASE)
_CLOSES = re.compile(r"^\s*(require\s+all\s+denied|deny\s+from\s+all)\s*$", re.IGNORECASE)
_OPENS = re.compile(r"^\s*(require\s+all\s+granted|allow\s+from\s+all)\s*$", re.IGNORECASE)
_TO_ALL = re.compile(r"(from\s+all|all\s+granted)", re.IGNORECASE)


def post_max_sizes(folder: Path, exclude: Sequence[str]) -> tuple[str, ...]:
    """The values of `post_max_size` in the site's `.user.ini` files, as they stand there, for instance `64M`."""
    sizes: list[str] = []
    for relative in _named(USER_INI, folder, exclude):
        sizes += _POST_MAX_SIZE.findall((folder / relative).read_text(errors="replace"))
    return tuple(sizes)


def unfollowed_rules(folder: Path, exclude: Sequence[str]) -> list[str]:
    """A line for each `.htaccess` of the site with rules that nginx does not follow: the file, and what it asks for."""
    closed = {Path(pattern.strip("/")) for pattern in closed_folders(folder, exclude)}
    found = []
    for relative in _named(HTACCESS, folder, exclude):
        lines = (folder / relative).read_text(errors="replace").splitlines()
        rules = [rule for rule in _unfollowed(lines) if not (rule.endswith(_ACCESS) and relative.parent in closed)]
        if rules:
            found.append(f"{relative}: {', '.join(rules)}")
    return found


def closed_folders(folder: Path, exclude: Sequence[str]) -> tuple[str, ...]:
    """Patterns (path_patterns.py) of the folders whose `.htaccess` lets nobody in, and of those that are open again."""
    found = []
    for relative in _named(HTACCESS, folder, exclude):
        verdict = _verdict((folder / relative).read_text(errors="replace").splitlines())
        # A file at the top that closes all has been written for the time of an installation.
        if verdict and relative.parent != Path() and is_pattern(pattern := f"/{relative.parent}/"):
            found.append(pattern if verdict == "closed" else f"!{pattern}")
    return tuple(found)


def warning_about(rules: Sequence[str]) -> str:
    """What the preview says about such files; empty if there are none."""
    if not rules:
        return ""
    return (
        "nginx does not follow these rules of the site's .htaccess files:\n"
        + "".join(f"    {rule}\n" for rule in rules)
        + "Keep files from visitors with denyPaths (pulumi config set --path 'denyPaths[N]' /folder/), and set PHP by\n"
        "phpSettings or a .user.ini; docs/requests.md tells what nginx does by itself."
    )


def _named(name: str, folder: Path, exclude: Sequence[str]) -> list[Path]:
    return [path for path in site_files(folder, exclude) if path.name == name and (folder / path).is_file()]


def _verdict(lines: Iterable[str]) -> str:
    """What a file says of its whole folder: `closed`, `open`, or nothing."""
    verdict, sections = "", 0
    for line in lines:
        if _SECTION.match(line):
            sections += 1 if "</" not in line else -1
        elif not sections and _CLOSES.match(line):
            verdict = "closed"
        elif not sections and _OPENS.match(line):
            verdict = "open"
    return verdict


def _unfollowed(lines: Iterable[str]) -> list[str]:
    """The directives that ask for what nginx does not do, each once, in the order of the file."""
    found = [match for line in lines if (match := _DIRECTIVE.match(line)) and not match[1]]
    directives = [(match[2], match[3]) for match in found]
    opens = any(name.lower() in ("allow", "require") and _TO_ALL.fullmatch(value) for name, value in directives)
    asked = {
        f"{name}{_ACCESS}" if _is_about_access(name, value) else name: None
        for name, value in directives
        if not _is_followed(name.lower(), value, opens=opens)
    }
    return list(asked)


def _is_about_access(name: str, value: str) -> bool:
    return name.lower() in ("require", "deny", "order", "allow") or bool(_FORBIDS.search(value))


def _is_followed(name: str, value: str, *, opens: bool) -> bool:
    if name == "rewriterule":
        return bool(_FRONT_CONTROLLER.fullmatch(value)) and not _FORBIDS.search(value)
    if name == "options":
        return not re.search(r"(^|[\s+])(Indexes|ExecCGI|Includes|All)\b", value, re.IGNORECASE)
    if name == "directoryindex":
        return set(value.split()) <= _INDEX_FILES
    if name in ("allow", "require"):
        return bool(_TO_ALL.fullmatch(value))
    if name == "order":
        return opens
    return name in _HARMLESS
