"""What the substrate `local` decides before it makes anything."""

from typing import Any

from components.steps.drift import no_drift
from tests.unit.graph import NETWORK, graph_of
from tests.unit.settings import read_with_substrate


def packages_of_image(**values: Any) -> list[str]:
    settings, local = read_with_substrate({"network": NETWORK, "extraPackages": ["php-mysql"], **values})
    graph = graph_of(lambda: local.create(settings, local.plan(settings), no_drift()))
    packages: str = graph["image"].inputs["environment"]["PACKAGES"]
    return packages.split()


def test_one_image_holds_what_every_machine_needs() -> None:
    packages = packages_of_image()
    assert {"glusterfs-server", "haproxy", "keepalived", "nginx-light", "php-fpm", "php-mysql"} <= set(packages)
    assert packages == sorted(set(packages))


def test_a_stock_image_holds_nothing_of_the_cluster() -> None:
    assert packages_of_image(image="stock") == []
