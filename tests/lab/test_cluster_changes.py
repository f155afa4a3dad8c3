"""What a balancer sees of itself for the timeline of the status page, on one machine."""

from tests.commands import PROJECT
from tests.lab.conftest import Image


def test_the_address_is_its_own_only_on_its_interface(image: Image) -> None:
    # Some set this for HAProxy. Any address can be bound then.
    script = """
        echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind
        ip address add 198.18.7.10/32 dev lo
        PYTHONDONTWRITEBYTECODE=1 python3 -c "
import runpy
has_address = runpy.run_path('/files/cluster-changes')['has_address']
print([has_address('198.18.7.10'), has_address('198.18.7.1'), has_address('198.18.7.11')])"
    """
    done = image.run(script, files=PROJECT / "scripts" / "hosts" / "balancer")
    assert "[True, False, False]" in done.stdout, done.stdout
