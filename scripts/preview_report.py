"""What a preview said, as Markdown for a pull request: one line of it in the open, the whole of it folded.

`python -m scripts.preview_report STACK STATUS` reads what `pulumi preview --diff` printed and prints the report.
"""

from __future__ import annotations

import os
import re
import sys

COMMENT_LIMIT = 65_536
"""Characters of a comment on GitHub, which refuses a longer one whole."""

REPORT_LIMIT = 32_000
"""Characters of one report: two stacks have room in one comment."""

_COUNT = re.compile(r"^ +(?:[^\w\s]+ ?)?(\d+ (?:to \w+|unchanged))$")
_SIGN = re.compile(r"^( *)(\+\+|--|\+-|-\+|[-+~]) ?(.*)$")


def summary(said: str, failed: bool) -> str:
    """What is to be done, in a few words."""
    if failed:
        return "the preview failed"
    _, _, after = said.rpartition("Resources:\n")
    counts = [found[1] for line in after.splitlines() if (found := _COUNT.match(line))]
    changes = [count for count in counts if not count.endswith("unchanged")]
    return ", ".join(changes) or "no changes"


def _coloured(line: str) -> str:
    """The line with its sign in front, where GitHub looks for it in order to colour a diff."""
    found = _SIGN.match(line)
    if found is None:
        # Anything else in front would be taken for a sign.
        return f" {line}"
    indent, sign, rest = found.groups()
    if sign in ("~", "+-", "-+"):
        return f"!{indent}{sign} {rest}"
    return f"{sign[0]}{indent} {rest}"


def _shortened(lines: list[str], limit: int, *, keep_end: bool) -> list[str]:
    """As many lines as have room; what a failure says is at its end."""
    kept: list[str] = []
    length = 0
    for line in reversed(lines) if keep_end else lines:
        length += len(line) + 1
        if length > limit:
            break
        kept.append(line)
    left_out = len(lines) - len(kept)
    note = [f" … {left_out} lines are left out; the run's log has them all"] if left_out else []
    return [*note, *reversed(kept)] if keep_end else [*kept, *note]


def report(stack: str, said: str, *, failed: bool, run: str = "", limit: int = REPORT_LIMIT) -> str:
    """A report of at most `limit` characters.

    Args:
        stack: Its name.
        said: What the preview printed.
        failed: Whether it could not be made.
        run: Address of the run that has the whole log, if there is one.
        limit: Number of characters.
    """
    # A fence longer than any in the text: nothing in there can end it.
    fence = "`" * (max([2, *(len(run) for run in re.findall("`+", said))]) + 1)
    where = f" ([log]({run}))" if run else ""
    folded = "<details open>" if failed else "<details>"
    head = f"### `{stack}`: {summary(said, failed)}{where}\n\n{folded}<summary>Details</summary>\n"
    tail = f"{fence}\n</details>\n"
    room = limit - len(head) - len(tail) - len(fence) - 100
    lines = _shortened([_coloured(line) for line in said.splitlines()], room, keep_end=failed)
    return "\n".join([head, f"{fence}diff", *lines, tail])


def _run_on_github() -> str:
    known = [os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*known) if all(known) else ""


if __name__ == "__main__":
    name, status = sys.argv[1:]
    print(report(name, sys.stdin.read(), failed=status != "0", run=_run_on_github()), end="")
