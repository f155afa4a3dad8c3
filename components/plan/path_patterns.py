"""Patterns for paths below the web root, in the words of .gitignore.

- `*.sql`, `notes.txt`: a file or folder of this name, wherever it lies, and all that is in it;
- `private/`: the same; the slash at the end is for readers;
- `/data/`, `/lib/*.ini`: the same, but counted from the web root: whatever has a slash before its end;
- `*` and `?` stand for anything but a slash, `**` for slashes too, `[abc]` for one of these characters, `{css,js}` for
  one of these words;
- `!` before a pattern takes back what an earlier one has said: the last one that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

_WORDS = re.compile(r"\{[A-Za-z0-9._,-]+\}")
_ONE_OF = re.compile(r"\[!?[A-Za-z0-9._-]+\]")
_ALLOWED = re.compile(r"!?[A-Za-z0-9._/*?~@%+=,:{}\[\]!-]+")


def expression(pattern: str) -> str:
    """The regular expression (PCRE) that fits the paths a pattern means; case does not count.

    Raises:
        ValueError: it is no such pattern.
    """
    text = pattern.removeprefix("!")
    if not _ALLOWED.fullmatch(pattern) or not text.strip("/") or "//" in text:
        raise ValueError
    inner = text.rstrip("/")
    start = "^/" if "/" in inner else "/"
    found, at = start, 1 if inner.startswith("/") else 0
    while at < len(inner):
        if inner.startswith("**/", at):
            found, at = f"{found}(?:.*/)?", at + 3
        elif inner.startswith("**", at):
            found, at = f"{found}.*", at + 2
        elif inner[at] in "*?":
            found, at = found + ("[^/]*" if inner[at] == "*" else "[^/]"), at + 1
        elif words := _WORDS.match(inner, at):
            listed = "|".join(re.escape(word) for word in words[0][1:-1].split(","))
            found, at = f"{found}(?:{listed})", words.end()
        elif one_of := _ONE_OF.match(inner, at):
            found, at = found + one_of[0].replace("[!", "[^"), one_of.end()
        elif inner[at] in "[]{}":
            raise ValueError
        else:
            found, at = found + re.escape(inner[at]), at + 1
    # What is in a folder of this name goes with it.
    return f"{found}(?:/|$)"


def pattern_text(pattern: str) -> str:
    """The pattern itself, if it is one.

    Raises:
        ValueError: it is none.
    """
    expression(pattern)
    return pattern


def is_pattern(text: str) -> bool:
    """Whether it is one."""
    try:
        expression(text)
    except ValueError:
        return False
    return True


def ordered_expressions(patterns: Iterable[str]) -> list[tuple[str, bool]]:
    """Regular expressions of which the first that fits decides, each with whether it denies.

    Neighbours of a kind are one expression: a web server looks at each for every request.
    """
    runs = groupby(patterns, key=lambda pattern: not pattern.startswith("!"))
    joined = [("|".join(f"(?:{expression(pattern)})" for pattern in run), denies) for denies, run in runs]
    return joined[::-1]
