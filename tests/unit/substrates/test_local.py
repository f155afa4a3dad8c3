"""What the substrate `local` decides before it makes anything."""

from components.substrates.local import image_packages
from tests.unit.graph import planned


def test_one_image_holds_what_every_machine_needs() -> None:
    packages = image_packages(*planned(extraPackages=["php-mysql"]))
    assert {"glusterfs-server", "haproxy", "keepalived", "nginx-light", "php-fpm", "php-mysql"} <= set(packages)
    assert packages == sorted(set(packages))


def test_a_stock_image_holds_nothing_of_the_cluster() -> None:
    assert image_packages(*planned(image="stock", extraPackages=["php-mysql"])) == []
