"""The text of every configuration file. Whether the daemons take it is judged in tests/lab, by the daemons."""

import re

import pytest

from components import topology
from components.load_balancer import PRIORITIES, haproxy_configuration, keepalived_configuration
from components.mount import fstab_line
from components.packet_filter import packet_filter
from components.php import fpm_configuration, max_body_size, nginx_site, php_ini
from components.php_extension import extension_file
from components.topology import Profile

PLAN = topology.plan("198.18.7.0/24", 3, Profile.SAFE)


def haproxy(*, tls: bool = False) -> str:
    return haproxy_configuration(PLAN, 0, "hidden", tls=tls, request_seconds=60)


def test_haproxy_balances_over_every_node() -> None:
    servers = re.findall(r"^    server (\S+) (\S+)$", haproxy(), re.MULTILINE)
    nodes = [(f"php{number}", f"198.18.7.{20 + number}:80") for number in (1, 2, 3)]
    # Once for good days, once for the moments in which no mount answers; and the other balancer, to be watched.
    assert servers == [*nodes, *nodes, ("lb2", "198.18.7.12:8404")]


def test_haproxy_speaks_https_only_with_a_certificate() -> None:
    assert "ssl crt" not in haproxy() and "redirect" not in haproxy()
    assert "bind *:443 ssl crt /etc/haproxy/php-cluster.pem" in haproxy(tls=True)
    assert "redirect scheme https" in haproxy(tls=True)


def test_health_checks_ask_a_page_without_a_session() -> None:
    assert "http-check send meth GET uri /.php-cluster/health" in haproxy()


def test_the_balancers_watch_each_other() -> None:
    texts = [keepalived_configuration(PLAN, index, "eth0") for index in (0, 1)]
    for text, own, other in zip(texts, ("11", "12"), ("12", "11"), strict=True):
        assert f"unicast_src_ip 198.18.7.{own}" in text
        assert re.search(rf"unicast_peer {{\s+198\.18\.7\.{other}\s+}}", text)
        assert "198.18.7.10/24 dev eth0" in text
        assert "state BACKUP" in text and "nopreempt" in text and "vrrp_version 3" in text
    assert PRIORITIES[0] != PRIORITIES[1]
    routers = {re.search(r"virtual_router_id (\d+)", text)[1] for text in texts}  # type: ignore[index]
    assert len(routers) == 1 and 1 <= int(routers.pop()) <= 255


def test_both_balancers_advertise_the_same_when_the_cloud_moves_the_address() -> None:
    texts = [keepalived_configuration(PLAN, index, None, ("10.64.0.10", "10.64.2.10")) for index in (0, 1)]
    blocks = [re.search(r"virtual_ipaddress {(.*?)}", text, re.DOTALL) for text in texts]
    assert blocks[0] and blocks[1] and blocks[0][1] == blocks[1][1]
    assert re.findall(r"(\S+) dev @INTERFACE@", texts[0]) == ["10.64.0.10/32", "10.64.2.10/32"]
    assert all("vrrp_notify_fifo /run/php-cluster-vrrp" in text for text in texts)
    assert "vrrp_notify_fifo" not in keepalived_configuration(PLAN, 0, "eth0")


def test_only_the_peers_packets_are_admitted() -> None:
    assert "ip protocol 112 ip saddr != 198.18.7.12 drop" in packet_filter(PLAN, PLAN.balancers[0])
    assert "ip protocol 112 ip saddr != 198.18.7.11 drop" in packet_filter(PLAN, PLAN.balancers[1])


def test_fstab_lines() -> None:
    assert fstab_line(Profile.ARTICLE) == "lb1:/sessions /media/sessions glusterfs defaults,_netdev 0 0"
    device, place, kind, options, *numbers = fstab_line(Profile.SAFE).split()
    assert (device, place, kind, numbers) == ("lb1:/sessions", "/media/sessions", "glusterfs", ["0", "0"])
    assert {"_netdev", "backup-volfile-servers=lb2", "direct-io-mode=enable", "auto-invalidation=on"} <= set(
        options.split(",")
    )


def test_php_keeps_its_sessions_on_the_mount() -> None:
    article, safe = php_ini(Profile.ARTICLE, {}, 60, 8), php_ini(Profile.SAFE, {"memory_limit": "256M"}, 60, 8)
    assert 'session.save_path = "/media/sessions"' in article and "php_cluster" not in article
    assert f"extension = {extension_file()}\n" in safe and 'php_cluster.folder = "/media/sessions"' in safe
    assert "php_cluster.waiting_places = 6\n" in safe and 'memory_limit = "256M"' in safe


def test_a_user_has_the_last_word() -> None:
    """PHP takes the last of two lines; what the session store needs is refused in settings instead."""
    lines = php_ini(Profile.SAFE, {"session.use_strict_mode": "0"}, 60, 8).splitlines()
    assert lines[-1] == 'session.use_strict_mode = "0"'


@pytest.mark.parametrize(
    ("setting", "limit"), [({}, "8m"), ({"post_max_size": "64M"}, "64m"), ({"post_max_size": "a lot"}, "8m")]
)
def test_nginx_takes_what_php_takes(setting: dict[str, str], limit: str) -> None:
    assert max_body_size(setting) == limit
    assert f"client_max_body_size {limit};" in nginx_site(PLAN, setting, 60)


def test_only_balancers_say_who_the_visitor_is() -> None:
    trusted = re.findall(r"set_real_ip_from (\S+);", nginx_site(PLAN, {}, 60))
    # On the site that serves and on the one that is tried.
    assert trusted == ["198.18.7.11", "198.18.7.12"] * 2


def test_workers() -> None:
    assert "pm.max_children = 5" in fpm_configuration(5)
