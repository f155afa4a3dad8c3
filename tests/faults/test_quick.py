"""Some faults of each kind, on the default profile: the promise is kept. `scripts/faults` tries them all."""

import secrets
import sys
from collections.abc import Iterator

import pytest

from tests.faults import alerts, faults, report, results, trial
from tests.faults.rig import Rig, configuration, exempt_watchers
from tests.stack.cluster import Cluster, leftovers

PROFILE = "safe"

# The targets are in tests/faults/report.py; the report shows both. These limits are for a box that has other work.
SERVED_FROM_LIMIT = 20.0
HEALED_LIMIT = 120.0


@pytest.fixture(scope="module")
def seed() -> str:
    return secrets.token_hex(3)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, seed: str, request: pytest.FixtureRequest) -> Iterator[Rig]:
    cluster = Cluster(tmp_path_factory.mktemp("faults"), configuration(PROFILE) | alerts.SETTINGS)
    exempt_watchers(cluster)
    try:
        cluster.up()
        with alerts.watching(cluster, tmp_path_factory.mktemp("prometheus")) as watch:
            yield Rig(cluster, alerts=watch)
    finally:
        if request.session.testsfailed:
            cluster.save_journals()
        cluster.remove()
        capture = request.config.pluginmanager.getplugin("capturemanager")
        assert capture is not None
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n{results.write_report(results.folder_of(seed))}\n")
    assert leftovers(cluster.lab) == []


@pytest.mark.parametrize("name", faults.QUICK)
def test_no_acknowledged_update_is_lost(rig: Rig, seed: str, name: str) -> None:
    [fault] = faults.named([name])
    done = trial.run(rig, fault, PROFILE, f"{seed}-1")
    results.store(results.folder_of(seed), done)
    row = report.row(done)
    again = f"again: scripts/faults --profile {PROFILE} --fault {name} --seed {seed}"
    assert row.verdict.acknowledged > 100, again
    assert row.verdict.violations == {}, again
    assert row.phases.during.served_after < SERVED_FROM_LIMIT, again
    assert done.healed is not None and done.healed < HEALED_LIMIT, again
    assert (done.problems, done.repaired) == ([], ""), again
    # That it clears, the next trial finds before it begins.
    assert done.alerts is not None and {fault.alert} - {""} <= done.alerts.keys(), again
