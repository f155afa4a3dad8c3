"""`scripts/faults`: which faults, on which profiles, how often."""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.stack import StackError
from tests.faults import alerts, faults, redis_rig, report, results, trial
from tests.faults.faults import Fault
from tests.faults.redis_rig import RedisRig
from tests.faults.rig import Rig, configuration, exempt_watchers
from tests.stack.cluster import Cluster

STACK = "faults"

ATTEMPTS = {"safe": 1}
"""Others have two: a cluster of `article` may look healed and not be, which the next fault finds before it begins; then
it gets another cluster, and Redis too. With `safe` that would be news, and the fault counts as not tried."""


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Breaks a cluster in every way we know.")
    parser.add_argument(
        "--profile",
        choices=[*faults.PROFILES, "both"],
        default="both",
        help="both: article and safe; redis, redis-strict: a Redis with a replica and Sentinel (default: both)",
    )
    parser.add_argument("--fault", nargs="+", metavar="NAME", help="those alone (default: all)")
    parser.add_argument("--quick", action="store_true", help="those that CI tries")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how often each (default: 1)")
    parser.add_argument("--seed", default=secrets.token_hex(3), help="of an earlier run: repeats its moments")
    parser.add_argument("--alerts", action="store_true", help="says which alerts each raises (Debian's Prometheus)")
    parser.add_argument("--minutes", type=float, metavar="N", help="how long each lasts (default: --list has it)")
    parser.add_argument("--keep", action="store_true", help="leaves the machines for the next run, which finds them")
    parser.add_argument("--report", action="store_true", help="tries nothing, reports what there is of the seed")
    parser.add_argument("--list", action="store_true", help="names the faults")
    return parser.parse_args(words)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def _rig(profile: str, *, keep: bool, watched: bool) -> Iterator[Rig]:
    """A cluster for as long as the block lasts, or longer; watched by a Prometheus."""
    backend = results.RESULTS / f"state-{profile}"
    in_redis = profile in faults.REDIS
    settings = redis_rig.configuration() if in_redis else configuration(profile)
    if watched:
        settings |= alerts.SETTINGS
    cluster = Cluster(backend, settings, STACK, exists=backend.exists())
    exempt_watchers(cluster)
    rig = RedisRig(cluster, settings=redis_rig.SETTINGS[profile]) if in_redis else Rig(cluster)
    try:
        cluster.up()
        rig.prepare()
        with ExitStack() as stack:
            if watched:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                rig.alerts = stack.enter_context(alerts.watching(cluster, Path(folder)))
            yield rig
    finally:
        if not keep:
            cluster.remove()
            shutil.rmtree(backend)


def _tried(rig: Rig, fault: Fault, profile: str, seed: str) -> trial.Trial | None:
    """What came of it; nothing when it could not be tried."""
    for _ in range(ATTEMPTS.get(profile, 2)):
        try:
            return trial.run(rig, fault, profile, seed)
        except (AssertionError, StackError) as problem:
            _say(f"{fault.name} could not be tried: {problem}")
            rig.make_anew()
    return None


def _try_all(chosen: Sequence[Fault], profile: str, asked: argparse.Namespace, folder: Path) -> None:
    with _rig(profile, keep=asked.keep, watched=asked.alerts) as rig:
        for seed in [f"{asked.seed}-{number}" for number in range(1, asked.times + 1)]:
            for fault in chosen:
                done = _tried(rig, fault, profile, seed)
                if done is None:
                    continue
                results.store(folder, done)
                _say(report.table([report.row(done)]))
                if done.beyond_repair:
                    _say(f"The cluster is made anew, since {'; '.join(done.beyond_repair)}.")
                    rig.make_anew()
        if rig.alerts and not asked.keep:
            rig.alerts.wait_until_clear(trial.MEMORY_LIMIT)


def main(words: Sequence[str] | None = None) -> int:
    """Tries the faults that the command line asks for.

    The exit status: 0; or 1 when `safe` has broken its promise or missed a target, a fault could not be tried, or
    `article` lost nothing, so that the checker is not to be believed; or 2: no such fault.
    """
    asked = _arguments(words)
    if asked.list:
        _say(
            "\n".join(
                f"{fault.name}, for {fault.seconds:g} s, on {', '.join(fault.profiles)}" for fault in faults.FAULTS
            )
        )
        return 0
    try:
        chosen = faults.named(asked.fault or (faults.QUICK if asked.quick else faults.ALL))
    except ValueError as problem:
        _say(str(problem))
        return 2
    if asked.minutes:
        chosen = [dataclasses.replace(fault, seconds=60 * asked.minutes) for fault in chosen]
    # Ends as with Ctrl-C, so that the machines go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    profiles = ["article", "safe"] if asked.profile == "both" else [asked.profile]
    to_try = {profile: [fault for fault in chosen if profile in fault.profiles] for profile in profiles}
    folder = results.folder_of(asked.seed)
    if not asked.report:
        _say(f"seed {asked.seed}")
        for profile in profiles:
            _try_all(to_try[profile], profile, asked, folder)
    _say(f"\n{results.write_report(folder)}")
    rows = results.stored(folder)
    tried = {(row.trial.profile, row.trial.fault) for row in rows}
    wanted = [(profile, fault.name) for profile in profiles for fault in to_try[profile]]
    missing = [f"{name} on {profile}" for profile, name in wanted if (profile, name) not in tried]
    if missing:
        _say(f"Not tried: {', '.join(missing)}")
    credible = report.is_credible(rows)
    if not credible:
        _say("article has lost nothing under any fault: what the checker says of safe is not to be believed.")
    short = any(row.shortfalls for row in rows if row.trial.profile == "safe")
    return 1 if short or missing or not credible else 0


if __name__ == "__main__":
    sys.exit(main())
