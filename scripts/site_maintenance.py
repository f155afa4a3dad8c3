"""Maintenance of the site: what its visitors get meanwhile, from both load balancers."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from components.balancer.load_balancer import MAINTENANCE_MAP, MAINTENANCE_PAGE
from components.plan.topology import Role
from scripts.machines import (
    Machines,
    RefusalError,
    last_line,
    machines_of,
    parser_for,
    says_why,
    script,
)

WELL, INCOMPLETE = 0, 1

RETRY_AFTER_SECONDS = 300
MOST_PAGE_BYTES = 30_000
"""With the headers it has to fit into HAProxy's buffer, 32 KiB (components/plan/php_settings.py)."""

HOST_SCRIPT = Path(__file__).parent / "maintenance.sh"


def read_page(file: Path) -> str:
    """The page's text.

    Raises:
        RefusalError: it is no page that HAProxy can serve.
    """
    try:
        content = file.read_bytes()
        page = content.decode()
    except (OSError, UnicodeDecodeError) as problem:
        raise RefusalError(f"{file}: {problem}") from problem
    if len(content) > MOST_PAGE_BYTES:
        raise RefusalError(f"{file} has {len(content)} bytes, and HAProxy serves up to {MOST_PAGE_BYTES}")
    if not page.strip() or "\0" in page:
        raise RefusalError(f"{file} is empty, or no text")
    return page.rstrip("\n")


def host_script(retry_after: int | None, page: str = "") -> str:
    """What a balancer is to run: maintenance is on for as many seconds as visitors are told, or off."""
    variables = {
        "RETRY_AFTER": "" if retry_after is None else str(retry_after),
        "PAGE": page,
        "MAINTENANCE_MAP": MAINTENANCE_MAP,
        "MAINTENANCE_PAGE": MAINTENANCE_PAGE,
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()) + HOST_SCRIPT.read_text()


def tell(machines: Machines, retry_after: int | None, page: str = "") -> int:
    """Tells both balancers, and says what has become of it."""
    balancers = machines.names(Role.LOAD_BALANCER)
    answers = machines.run_on(balancers, "bash", "-s", stdin=host_script(retry_after, page))
    failed = {name: last_line(answer) for name, answer in answers.items() if answer.returncode != 0}
    if done := [name for name in balancers if name not in failed]:
        state = "the site is open" if retry_after is None else f"visitors get 503 and Retry-After: {retry_after}"
        print(f"{', '.join(done)}: {state}")
    for name, problem in failed.items():
        print(f"{name}: {problem}", file=sys.stderr)
    if failed:
        again = f"{script('maintenance', machines.stack)} {'off' if retry_after is None else 'on'}"
        print(f"{again} again when all balancers answer: until then they differ", file=sys.stderr)
    return INCOMPLETE if failed else WELL


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("maintenance", "Visitors get a page for maintenance.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("off", help="the site is open again")
    on = commands.add_parser("on", help="visitors get 503 and the page")
    on.add_argument("--page", type=Path, metavar="FILE", help="HTML; kept for the next time (default: the one before)")
    on.add_argument(
        "--retry-after",
        type=int,
        default=RETRY_AFTER_SECONDS,
        metavar="SECONDS",
        help="when to come back (default: 300)",
    )
    asked = parser.parse_args()
    with machines_of(asked.stack) as machines:
        if asked.command == "off":
            return tell(machines, None)
        if asked.retry_after < 1:
            raise RefusalError(f"--retry-after is {asked.retry_after}, and must be 1 or more seconds")
        return tell(machines, asked.retry_after, read_page(asked.page) if asked.page else "")


if __name__ == "__main__":
    sys.exit(main())
