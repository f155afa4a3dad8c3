"""What the substrate `local` decides before it makes anything."""

from typing import Any

import pytest

from components.plan.config_values import ConfigError
from components.steps.drift import Drift
from components.steps.last_update import LastUpdate
from tests.unit.graph import NETWORK, graph_of
from tests.unit.settings import read_with_substrate


def packages_of_image(**values: Any) -> list[str]:
    settings, local = read_with_substrate({"network": NETWORK, "extraPackages": ["php-mysql"], **values})
    graph = graph_of(lambda: local.create(settings, local.plan(settings), Drift(LastUpdate())))
    packages: str = graph["image"].inputs["environment"]["PACKAGES"]
    return packages.split()


def test_one_image_holds_what_every_machine_needs() -> None:
    packages = packages_of_image()
    assert {"glusterfs-server", "haproxy", "keepalived", "nginx-light", "php-fpm", "php-mysql"} <= set(packages)
    assert packages == sorted(set(packages))


def test_a_stock_image_holds_nothing_of_the_cluster() -> None:
    assert packages_of_image(image="stock") == []


@pytest.mark.parametrize(
    ("suite", "debian", "refused"),
    [(None, 12, False), ("bookworm", 12, False), ("trixie", 13, False), (None, 13, True), ("trixie", 12, True)],
)
def test_a_stack_stays_at_its_release(suite: str | None, debian: int, refused: bool) -> None:
    """One that was made when there was no choice has Debian 12."""
    image = {"environment": {"PACKAGES": ""} | ({"SUITE": suite} if suite else {})}
    drift = Drift(LastUpdate({"image": image, "lb1-machine": {}}))
    settings, local = read_with_substrate({"network": NETWORK, "debian": debian})
    if refused:
        with pytest.raises(ConfigError, match=f"debian is {debian}; nothing was changed"):
            local.create(settings, local.plan(settings), drift)
    else:
        assert "image" in graph_of(lambda: local.create(settings, local.plan(settings), drift))


def test_a_new_stack_has_the_release_that_is_set() -> None:
    settings, local = read_with_substrate({"network": NETWORK, "debian": "13"})
    graph = graph_of(lambda: local.create(settings, local.plan(settings), Drift(LastUpdate())))
    assert graph["image"].inputs["environment"]["SUITE"] == "trixie"
