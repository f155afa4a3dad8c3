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


def test_a_socket_that_changed_is_restarted(image: Image) -> None:
    script = """
        systemctl() { echo "systemctl $*"; }
        step() {
            (STEP=page FLOATING_IP=198.18.7.10 PAGE_FOLDER=/page PAGE_HTML=a PAGE_CSS=a PAGE_JS=a CLUSTER_CHANGES=a
            CHANGES_SERVICE=a CHANGES_TIMER=a CHANGES_SOCKET=$1 TELLS_CHANGES=a
            source /files/steps/lib.sh && source /files/balancer/status-page.sh)
        }
        mkdir -p /etc/haproxy && touch /etc/haproxy/haproxy.cfg
        for socket in old old new; do echo "run $socket"; step $socket; done
    """
    said = image.run(script, files=PROJECT / "scripts" / "hosts").stdout
    runs = said.split("run ")[1:]
    assert [run.count("systemctl try-restart php-cluster-changes.socket") for run in runs] == [1, 0, 1], said
