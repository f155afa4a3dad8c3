"""What a backup has, in a cluster again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from components.plan.shared_paths import SHARED_FOLDER, SHIPPED
from components.plan.topology import Role
from scripts.backup_cluster import INCOMPLETE, WELL, line_of, on_node, ready_node
from scripts.backup_repository import LAST_FILE, BackupError, Repository, Snapshot, from_caller
from scripts.machines import Machines, RefusalError, last_line, machines_of, parser_for, says_why

_NAMED = 5

# A release has links in place of what is shared, and beside them what it ships of that.
_UNPACK = r"""
set -euo pipefail
mkdir --parents "$1"
# What comes first is the box's own; no node replaces it by what it tells of the site.
tar --extract --ignore-zeros --skip-old-files --no-same-owner --directory="$1" --wildcards 'cluster/*' 'site/*'
[[ -e $1/$4 ]] || { echo "the backup ends too early" >&2; exit 1; }
find "$1/site" -type l -lname "$2/*" -delete
if [[ -d $1/site/$3 ]]; then
    cp --archive "$1/site/$3/." "$1/site/"
    rm -r "$1/site/$3"
fi
"""


def unpack(repository: Repository, snapshot: Snapshot, folder: Path) -> int:
    """Puts what makes a cluster into a folder: state, settings and site.

    Raises:
        RefusalError: there is something in the folder.
        BackupError: the backup cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusalError(f"{folder} is there, and not empty: --unpack {folder}-new")
    done = repository.feed(snapshot, ["bash", "-c", _UNPACK, "bash", str(folder), SHARED_FOLDER, SHIPPED, LAST_FILE])
    if done.returncode != 0:
        raise BackupError(f"{folder}: {last_line(done)}")
    print(f"{folder}: {', '.join(sorted(str(path.relative_to(folder)) for path in folder.glob('*/*.*')))}, site")
    return WELL


class Restore:
    """One backup on its way into a cluster, by way of one PHP node."""

    def __init__(self, machines: Machines, repository: Repository, snapshot: Snapshot, *, keep_newer: bool) -> None:
        self._machines, self._repository, self._snapshot = machines, repository, snapshot
        self._keep_newer, self._node = keep_newer, ready_node(machines)

    def _import(self, part: str) -> subprocess.CompletedProcess[str]:
        words = on_node(self._machines, self._node, "import", part, keep_newer=self._keep_newer)
        return self._repository.feed(self._snapshot, words)

    def _sessions(self, part: str) -> tuple[dict[str, int], list[str]]:
        """What was done, or would be, with how many sessions; and those about which there is something to say."""
        done = self._import(part)
        if done.returncode != 0:
            raise BackupError(f"{self._node}: {last_line(done)}")
        *named, told = done.stdout.splitlines()
        counts: dict[str, int] = json.loads(told)
        seen, saved = sum(counts.values()), self._snapshot.counts["sessions"]
        if seen != saved:
            raise BackupError(f"the backup tells of {saved} sessions, and has {seen}")
        return counts, named

    def check(self) -> None:
        """Looks for sessions that are newer in the cluster.

        Raises:
            RefusalError: there are some, and they are not to be kept.
        """
        counts, named = self._sessions("check")
        if counts["newer"] and not self._keep_newer:
            names = [line.split()[1] for line in named if line.startswith("newer")]
            shown = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
            raise RefusalError(
                f"newer in the cluster than in the backup: {len(names)} of the sessions ({shown}, as the access log "
                "names them); --keep-newer leaves these as they are, and restores the others"
            )

    def files(self) -> None:
        """Puts shared files into their places.

        Raises:
            RefusalError: some are newer in the cluster, and are not to be kept.
            BackupError: it could not be done.
        """
        if not self._snapshot.counts["files"]:
            return
        done = self._import("files")
        if done.returncode != 0:
            problem = f"{self._node}: {last_line(done)}"
            raise RefusalError(problem) if "are newer here" in problem else BackupError(problem)

    def sessions(self) -> int:
        """Stores the sessions, and says what has become of them."""
        counts, named = self._sessions("sessions")
        # Each process of PHP has read the key by which the cluster knows its own IDs, and now there is another one.
        nodes = self._machines.names(Role.PHP)
        answers = self._machines.run_on(nodes, "/usr/lib/php-cluster/serve-php", "anew", seconds=120)
        for node, answer in answers.items():
            if answer.returncode != 0:
                named.append(f"{node}: its PHP was not started anew: {last_line(answer)}")
        print(
            f"{counts['restored']} sessions restored, {counts['already']} were there, "
            f"{counts['newer']} are newer here, {counts['expired']} have expired"
        )
        left = [line for line in named if not line.startswith("newer")]
        for line in left:
            print(line, file=sys.stderr)
        return INCOMPLETE if left else WELL


@says_why
def main() -> int:
    """Does what the command line asks for."""
    parser = parser_for("restore", "Restores what scripts/backup has saved.")
    parser.add_argument("where", metavar="WHERE", help="as for scripts/backup")
    parser.add_argument("snapshot", nargs="?", default="", metavar="SNAPSHOT", help="default: the last one")
    parser.add_argument("--keep-newer", action="store_true", help="leave what is newer in the cluster as it is")
    parser.add_argument("--unpack", type=Path, metavar="FOLDER", help="put state, settings and site there; no cluster")
    asked = parser.parse_args()
    repository = Repository(asked.where, asked.stack)
    try:
        repository.open()
        snapshot = repository.find(asked.snapshot)
        print(line_of(snapshot))
        if asked.unpack:
            return unpack(repository, snapshot, from_caller(asked.unpack))
        with machines_of(asked.stack) as machines:
            restore = Restore(machines, repository, snapshot, keep_newer=asked.keep_newer)
            restore.check()
            restore.files()
            return restore.sessions()
    except BackupError as problem:
        print(f"{problem}; what is not restored yet is so when this is run again", file=sys.stderr)
        return INCOMPLETE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
