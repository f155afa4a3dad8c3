"""Which alerts a fault raises, and when they clear: a Prometheus collects the cluster's metrics while trials run."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.substrates.local.identity import NETWORKS
from tests.prometheus import MONITORING, Query, collecting
from tests.stack.cluster import Cluster, wait_for

SETTINGS = {"metrics.allowFrom[0]": NETWORKS}
"""Of a cluster that can be watched."""

FASTER = 10
"""How many times shorter each `for` of the rules is in a trial, and the time that a rate is taken over: a trial lasts
seconds, not minutes."""

RATES_OVER = "[5m]"

SCRAPE_SECONDS = 2
"""From one question to the next; the machines collect what they tell every 15 s, as always."""

CLEAR_SECONDS = 60.0
"""Target: so long after the restoration no alert fires any more, and the next fault may come."""

REMEMBERED = {"SessionsRefused": 300.0}
"""Alerts that tell of what was, by the seconds for which the machines remember it: nobody waits for them in a trial."""

_PREFIX = "PhpCluster"
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Firing(NamedTuple):
    """An alert in a trial.

    Attributes:
        fired: Seconds from the fault.
        cleared: Seconds from the restoration; 0: before it; None: it still fires, or is one of REMEMBERED.
    """

    fired: float
    cleared: float | None


def _sooner(duration: str) -> str:
    number, unit = re.fullmatch(r"(\d+)([smh])", duration).groups()  # type: ignore[union-attr]
    return f"{int(number) * _UNITS[unit] * 1000 // FASTER}ms"


def faster(rules: str) -> str:
    """The rules, FASTER."""
    read: dict[str, Any] = yaml.safe_load(rules)
    for rule in (rule for group in read["groups"] for rule in group["rules"]):
        rule["expr"] = rule["expr"].replace(RATES_OVER, f"[{_sooner(RATES_OVER[1:-1])}]")
        if "for" in rule:
            rule["for"] = _sooner(rule["for"])
    return yaml.safe_dump(read, sort_keys=False)


class Alerts:
    """What a Prometheus says of a cluster's alerts, by their names without `PhpCluster`."""

    def __init__(self, ask: Query) -> None:
        self._ask = ask

    def firing(self) -> set[str]:
        """Now."""
        return {_name(each) for each in self._ask('ALERTS{alertstate="firing"}')}

    def wait_until_clear(self, limit: float, but: Collection[str] = ()) -> None:
        """Until none fires but those.

        Raises:
            AssertionError: One still does after `limit` seconds.
        """
        wait_for("no alert fires", lambda: not self.firing() - set(but), limit, pause=1)

    def since(self, fault: float, restored: float, before: Collection[str]) -> dict[str, Firing]:
        """Those that have fired since the fault and not before, each in all its labels; waits until they have cleared.

        `fault` and `restored` are in seconds since the epoch.
        """
        with contextlib.suppress(AssertionError):
            self.wait_until_clear(CLEAR_SECONDS + restored - time.time(), REMEMBERED)
        still = self.firing()
        spans: dict[str, list[float]] = {}
        for each in self._ask(f'ALERTS{{alertstate="firing"}}[{int(time.time() - fault)}s]'):
            spans.setdefault(_name(each), []).extend(at for at, _ in each["values"])
        return {
            name: Firing(min(moments) - fault, None if name in still else max(0.0, max(moments) + 1 - restored))
            for name, moments in sorted(spans.items())
            if name not in before
        }


def _name(series: dict[str, Any]) -> str:
    return str(series["metric"]["alertname"]).removeprefix(_PREFIX)


@contextlib.contextmanager
def watching(cluster: Cluster, folder: Path) -> Iterator[Alerts]:
    """For as long as the block lasts; Prometheus' files are in `folder`."""
    rules = folder / "alerts.yml"
    rules.write_text(faster((MONITORING / "alerts.yml").read_text()))
    with collecting(cluster, folder, rules, SCRAPE_SECONDS) as ask:
        wait_for("all machines are asked", lambda: len(ask("up == 1")) == 2 * len(cluster.outputs()["machines"]), 60)
        yield Alerts(ask)
